package e2e

import (
	"fmt"
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

const (
	books     = "http://catalog.stock:9080/books/1"
	readerID  = "spiffe://cluster.local/ns/shop/sa/reader"
	frontID   = "spiffe://cluster.local/ns/shop/sa/storefront"
	reviewsID = "spiffe://cluster.local/ns/shop/sa/reviews"
)

func TestOneRequestIsProvenAtEveryHop(t *testing.T) {
	l := mesh(t)
	eventually(t, func() error {
		o := ask(t.Context(), l.Pod("reader"), lab.BookURL)
		if o.status != 200 || len(o.hop.Calls) != 2 || len(o.hop.Calls[1].Calls) != 1 {
			return fmt.Errorf("status %d: %s", o.status, o.body)
		}
		for _, seen := range []struct{ got, want string }{
			{o.hop.Caller, readerID},
			{o.hop.Calls[0].Caller, frontID},
			{o.hop.Calls[1].Caller, frontID},
			{o.hop.Calls[1].Calls[0].Caller, reviewsID},
		} {
			if seen.got != seen.want {
				return fmt.Errorf("a service saw %q, want %s", seen.got, seen.want)
			}
		}
		return nil
	})
}

func TestPeerAuthenticationModes(t *testing.T) {
	l := mesh(t)
	const nobody = "nobody"
	plain := direct(l, "catalog", "/books/1")
	for _, test := range []struct {
		name, spec string
		plain      int
		caller     string
	}{
		{"namespace permissive", "", 200, readerID},
		{"workload strict", "selector: {matchLabels: {app: catalog}}, mtls: {mode: STRICT}", refused, readerID},
		{"workload disable", "selector: {matchLabels: {app: catalog}}, mtls: {mode: DISABLE}", 200, nobody},
		{"port disable under strict", "selector: {matchLabels: {app: catalog}}, mtls: {mode: STRICT}, portLevelMtls: {9080: {mode: DISABLE}}", 200, nobody},
		{"port strict under disable", "selector: {matchLabels: {app: catalog}}, mtls: {mode: DISABLE}, portLevelMtls: {9080: {mode: STRICT}}", refused, readerID},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The case before must be gone, or it could pass for this one.
			holds(t, l, probe{from: "outsider", url: plain, want: 200}, probe{from: "reader", url: books, want: 200, caller: readerID})
			if test.spec != "" {
				apply(t, l, "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: mode, namespace: stock}\nspec: {"+test.spec+"}\n")
				inForce(t, l)
			}
			holds(t, l,
				probe{from: "outsider", url: plain, want: test.plain},
				probe{from: "reader", url: books, want: 200, caller: test.caller})
		})
	}
}

func TestMeshWideStrictHasExceptions(t *testing.T) {
	l := mesh(t)
	apply(t, l, `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`)
	holds(t, l,
		probe{from: "outsider", url: direct(l, "storefront", "/books/1"), want: refused},
		// stock has a policy of its own.
		probe{from: "outsider", url: direct(l, "catalog", "/books/1"), want: 200})
}
