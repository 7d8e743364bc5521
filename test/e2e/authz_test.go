package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// policy is an AuthorizationPolicy on one app of stock.
func policy(app, action, rules string) string {
	return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n" +
		"metadata: {name: test-" + app + ", namespace: stock}\n" +
		"spec:\n  selector: {matchLabels: {app: " + app + "}}\n  action: " + action + "\n" + rules
}

func TestAuthorizationOfHTTP(t *testing.T) {
	l := mesh(t)
	for _, test := range []struct {
		name, policy string
		// What the reader (shop), reviews-v1's neighbour storefront (shop) and
		// ratings (stock) get for /books/1, and the reader for /books/2.
		reader, storefront, ratings, second int
	}{
		{"no policy allows", "", 200, 200, 200, 200},
		{"principal", policy("catalog", "ALLOW", "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}]}]\n"), 200, 403, 403, 200},
		{"namespace", policy("catalog", "ALLOW", "  rules: [{from: [{source: {namespaces: [stock]}}]}]\n"), 403, 403, 200, 403},
		{"path", policy("catalog", "ALLOW", "  rules: [{to: [{operation: {paths: [/books/1]}}]}]\n"), 200, 200, 200, 403},
		{"method", policy("catalog", "ALLOW", "  rules: [{to: [{operation: {methods: [POST]}}]}]\n"), 403, 403, 403, 403},
		{"port", policy("catalog", "DENY", "  rules: [{to: [{operation: {ports: ['9080']}}]}]\n"), 403, 403, 403, 403},
		{"other port", policy("catalog", "DENY", "  rules: [{to: [{operation: {ports: ['9081']}}]}]\n"), 200, 200, 200, 200},
		{"no rules allow nothing", policy("catalog", "ALLOW", ""), 403, 403, 403, 403},
		{"an empty rule allows all", policy("catalog", "ALLOW", "  rules: [{}]\n"), 200, 200, 200, 200},
		{"deny goes before allow", policy("catalog", "ALLOW", "  rules: [{}]\n") + "---\n" +
			"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: test-deny, namespace: stock}\n" +
			"spec:\n  selector: {matchLabels: {app: catalog}}\n  action: DENY\n  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/storefront]}}]}]\n", 200, 403, 200, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The case before must be gone, or it could pass for this one.
			holds(t, l, probe{from: "reader", url: books, want: 200}, probe{from: "storefront", url: books, want: 200})
			if test.policy != "" {
				apply(t, l, test.policy)
				inForce(t, l)
			}
			holds(t, l,
				probe{from: "reader", url: books, want: test.reader},
				probe{from: "storefront", url: books, want: test.storefront},
				probe{from: "ratings", url: books, want: test.ratings},
				probe{from: "reader", url: "http://catalog.stock:9080/books/2", want: test.second},
				// The person's own policy stays in force beside the test's.
				probe{from: "reader", url: "http://catalog.stock:9080/admin/prices", want: 403})
		})
	}
}

func TestAuthorizationOfTCP(t *testing.T) {
	l := mesh(t)
	for _, test := range []struct {
		name, policy       string
		reader, storefront bool
	}{
		{"no policy allows", "", true, true},
		{"principal", policy("echo", "ALLOW", "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}]}]\n"), true, false},
		{"deny by port", policy("echo", "DENY", "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}], to: [{operation: {ports: ['7000']}}]}]\n"), false, true},
		{"an HTTP rule allows no TCP", policy("echo", "ALLOW", "  rules: [{to: [{operation: {methods: [GET]}}]}]\n"), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			eventually(t, func() error { return say(t.Context(), l.Pod("reader"), "echo.stock:7000") })
			if test.policy != "" {
				apply(t, l, test.policy)
				inForce(t, l)
			}
			eventually(t, func() error {
				for from, want := range map[string]bool{"reader": test.reader, "storefront": test.storefront} {
					err := say(t.Context(), l.Pod(from), "echo.stock:7000")
					if want && err != nil {
						return err
					}
					if !want && err == nil {
						return errors.New(from + " was let in")
					}
				}
				return nil
			})
		})
	}
}

// A verdict must bite the connection that is already open, at once and without
// the connection being closed.
func TestADenyBitesALiveConnection(t *testing.T) {
	l := mesh(t)
	holds(t, l, probe{from: "reader", url: books, want: 200})
	client, err := l.Pod("reader").Client(load.Plan{URL: books})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	until := func(want int) time.Duration {
		start := time.Now()
		for time.Since(start) < settled {
			answer, err := client.Do(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status == want {
				return time.Since(start)
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("no %d on the open connection within %s", want, settled)
		return 0
	}
	until(200)
	apply(t, l, policy("catalog", "DENY", "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}]}]\n"))
	t.Logf("refused %s after the file was written", until(403))
	if client.Opened != 1 {
		t.Errorf("%d connections were needed", client.Opened)
	}
}

// A policy that cannot be used must not open what was closed.
func TestABrokenPolicyLeavesTheLastGoodOne(t *testing.T) {
	l := mesh(t)
	deny := policy("catalog", "DENY", "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}]}]\n")
	apply(t, l, deny)
	holds(t, l, probe{from: "reader", url: books, want: 403})
	apply(t, l, deny+"  unheard: of\n")
	time.Sleep(time.Second)
	holds(t, l, probe{from: "reader", url: books, want: 403}, probe{from: "storefront", url: books, want: 200})
}
