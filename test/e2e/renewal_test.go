package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// handshakes makes every request to the catalog one of TLS.
const handshakes = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: stock}
spec:
  host: catalog.stock.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
`

// Both ends renew twice, under kept connections to one and handshakes to the other.
func TestRenewalUnderLoadFailsNoRequest(t *testing.T) {
	l := mesh(t)
	apply(t, l, handshakes)
	inForce(t, l)
	holds(t, l, probe{from: "reader", url: lab.BookURL, want: 200})
	zero, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loads := background(t, l.Pod("reader"), lab.BookURL)
	for range 2 {
		before := serials(t, l)
		// Twice the longest time to a renewal.
		deadline := time.Now().Add(25 * time.Second)
		for now := before; now["shop/storefront"] == before["shop/storefront"] || now["stock/catalog"] == before["stock/catalog"]; now = serials(t, l) {
			if time.Now().After(deadline) {
				t.Fatalf("not renewed: %v", now)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	time.Sleep(time.Second)
	both := loads()
	noneFailed(t, l, zero, both)
	shookHands(t, l, zero, both)
	ledgerHolds(t, l)
}

// shookHands wants the requests to have been handshakes with the catalog.
func shookHands(t *testing.T, l *lab.Lab, before lab.Zero, reports []load.Report) {
	t.Helper()
	after, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, r := range reports {
		sent += r.Sent
	}
	if n := after.Since(before)["catalog"]["ssl.handshake"]; n < int64(sent)/2 {
		t.Errorf("%d handshakes with the catalog for %d requests: this test does not test what it says", n, sent)
	}
}

// serials of the certificates that Envoys have acknowledged, by NAMESPACE/POD.
func serials(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	r := l.Ensign(t.Context(), "proxy", "status", "-o", "json")
	var status struct {
		Proxies []struct {
			Name   string `json:"name"`
			Serial string `json:"svid_serial"`
		} `json:"proxies"`
	}
	if err := json.Unmarshal([]byte(r.Output), &status); err != nil {
		t.Fatal(fmt.Errorf("reading status: %w: %s", err, r.Output))
	}
	found := map[string]string{}
	for _, p := range status.Proxies {
		found[p.Name] = p.Serial
	}
	return found
}
