package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

const reviews = "http://reviews:9080"

// route is a VirtualService for reviews in place of the bookshop's own.
func route(http string) string {
	return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
` + http + `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
`
}

func TestRoutesByPathAndHeader(t *testing.T) {
	l := mesh(t)
	replaceRouting(t, route(`  - match: [{uri: {exact: /reviews/exact}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {prefix: /reviews/new/}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{headers: {x-reader: {exact: curious}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
`))
	eventually(t, func() error {
		for range 5 {
			for _, test := range []struct{ path, header, want string }{
				{"/reviews/exact", "", "v2"},
				{"/reviews/exactly", "", "v1"},
				{"/reviews/new/1", "", "v2"},
				{"/reviews/newer", "", "v1"},
				{"/reviews/1", "X-Reader: curious", "v2"},
				{"/reviews/1", "X-Reader: curiouser", "v1"},
				{"/reviews/1", "", "v1"},
			} {
				var headers []string
				if test.header != "" {
					headers = append(headers, test.header)
				}
				if o := ask(t.Context(), l.Pod("storefront"), reviews+test.path, headers...); o.hop.Version != test.want {
					return fmt.Errorf("%s %s went to %q, want %s (%d %s)", test.path, test.header, o.hop.Version, test.want, o.status, o.body)
				}
			}
		}
		return nil
	})
}

func TestWeightsSplitTraffic(t *testing.T) {
	l := mesh(t)
	replaceRouting(t, route(`  - route:
    - {destination: {host: reviews, subset: v1}, weight: 70}
    - {destination: {host: reviews, subset: v2}, weight: 30}
`))
	eventually(t, func() error {
		r, err := l.Pod("storefront").Load(t.Context(), load.Plan{URL: reviews + "/reviews/1", Count: 600, Workers: 6, Name: func(body []byte) string {
			var h hop
			_ = json.Unmarshal(body, &h)
			return h.Version
		}})
		if err != nil {
			return err
		}
		// 180 expected; five standard deviations are 56.
		if v2 := r.Names["v2"]; r.Failed > 0 || v2 < 124 || v2 > 236 {
			return fmt.Errorf("v2 answered %d of 600, %d failed", v2, r.Failed)
		}
		return nil
	})
}

func TestTimeoutEndsASlowRequest(t *testing.T) {
	l := mesh(t)
	apply(t, l, `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: stock}
spec:
  hosts: [catalog.stock.svc.cluster.local]
  http:
  - timeout: 0.3s
    route: [{destination: {host: catalog.stock.svc.cluster.local}}]
`)
	eventually(t, func() error {
		start := time.Now()
		o := ask(t.Context(), l.Pod("reader"), "http://catalog.stock:9080/slow?ms=2000")
		if took := time.Since(start); o.status != 504 || took > time.Second {
			return fmt.Errorf("%d after %s", o.status, took)
		}
		return nil
	})
	holds(t, l, probe{from: "reader", url: "http://catalog.stock:9080/slow?ms=50", want: 200})
}

// replaceRouting puts a test's routing in place of the bookshop's file.
func replaceRouting(t *testing.T, text string) {
	t.Helper()
	original := manifest(t, "routing.yaml")
	if err := shared.lab.Apply("routing.yaml", text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.lab.Apply("routing.yaml", original); err != nil {
			t.Error(err)
		}
	})
}
