package daemon

import (
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity/clientcert"
)

// TestBinding: what an entry says comes back whole; a serial that the ledger lacks
// sends its bearer back to the token, where "try again" would never end.
func TestBinding(t *testing.T) {
	dir := t.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: "ensign/cluster.local/ledger", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{ledger: log}
	t.Cleanup(func() { a.close() })
	now := time.Now().UTC().Truncate(time.Second)
	want := clientcert.Bound{Certificate: "c0ffee", AccountUID: "sa-1", Pod: "web-1", PodUID: "pod-1", TokenAt: now.Add(-time.Hour)}
	if _, err := log.Append(t.Context(), ca.Entry{
		Kind: ca.KindSVID, Time: now, Certificate: want.Certificate, Serial: "1f", SPIFFEID: "spiffe://cluster.local/ns/shop/sa/web", NotAfter: now.Add(time.Hour),
		AccountUID: want.AccountUID, Pod: want.Pod, PodUID: want.PodUID, TokenAt: want.TokenAt,
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := a.binding(t.Context(), "1f"); err != nil || got != want {
		t.Errorf("bound to %+v, %v, want %+v", got, err, want)
	}
	if got, err := a.binding(t.Context(), "2f"); server.Code(err) != codes.Unauthenticated || got != (clientcert.Bound{}) {
		t.Errorf("a serial that is not there: %+v, %v", got, err)
	}
}
