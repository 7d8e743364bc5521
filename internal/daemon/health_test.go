package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/xds"
)

// TestReadyzTurnsRedWithTheLedger: a store that cannot be written any more is told by
// /readyz, and nothing is issued.
func TestReadyzTurnsRedWithTheLedger(t *testing.T) {
	profile, err := ca.NewProfile(ca.ProfileConfig{Lifetime: time.Hour, MaxLifetime: time.Hour, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	c := config{data: t.TempDir(), domain: spiffeid.RequireTrustDomainFromString("cluster.local"), kek: keystore.NewKEK(), profile: profile, root: rootFlags{first: rotation.Builtin}}
	nobody := func(uint64) []string { return nil }
	a, err := openAuthority(t.Context(), c, nobody, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.close() })
	streams, err := xds.New(xds.Config{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Context: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := newServerIdentity(t.Context(), a.issuing, a.roots, []string{"localhost"}, a.register.RevokedIssuer, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := newHealthServer(readiness{authority: a, xds: streams, shown: shown}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ready := func() (int, string) {
		w := httptest.NewRecorder()
		server.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	const red = "nothing can be issued: the ledger can not be written"
	if _, text := ready(); strings.Contains(text, red) {
		t.Fatalf("before: %s", text)
	}
	store, err := sql.Open("sqlite3", "file:"+filepath.Join(c.data, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, table := range []string{"entries", "probe"} {
		if _, err := store.ExecContext(t.Context(), `CREATE TRIGGER full_`+table+` BEFORE INSERT ON `+table+` BEGIN SELECT RAISE(ABORT, 'disk is full'); END`); err != nil {
			t.Fatal(err)
		}
	}
	if err := issueOne(t.Context(), a); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("issued without a ledger: %v", err)
	}
	if code, text := ready(); code != http.StatusServiceUnavailable || !strings.Contains(text, red) {
		t.Errorf("after: %d %s", code, text)
	}
	if _, err := store.ExecContext(t.Context(), `DROP TRIGGER full_entries; DROP TRIGGER full_probe`); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, text := ready(); !strings.Contains(text, red) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("with room again: %s", text)
		}
	}
	if err := issueOne(t.Context(), a); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// issueOne asks for the one kind of certificate that needs no introduced issuer.
func issueOne(ctx context.Context, a *authority) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := ca.NewCSR(key)
	if err != nil {
		return err
	}
	_, err = a.issuing.IssueServer(ctx, ca.ServerRequest{CSR: csr, Names: []string{"localhost"}})
	return err
}
