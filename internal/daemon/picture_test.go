package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/xds"
)

// TestWhoWasCutOffBeforeARestartIsInTheFirstPicture: no proxy is served before it.
func TestWhoWasCutOffBeforeARestartIsInTheFirstPicture(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	profile, err := ca.NewProfile(ca.ProfileConfig{Lifetime: time.Hour, MaxLifetime: time.Hour, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := xds.New(xds.Config{Logger: log, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	w, list := &world{}, &revocation.List{Revision: 4, Identities: []string{tillID}, Certificates: []revocation.Certificate{{Fingerprint: "f1"}}}
	c := config{manifests: dir, domain: spiffeid.RequireTrustDomainFromString("cluster.local"), profile: profile}
	p, err := newPicture(c, w, newOrders(list, &revocation.Set{}), streams, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p.deny(list)
	if streams.Ready() || w.Snapshot() != nil {
		t.Error("a picture without the manifests is served")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); w.Snapshot() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no picture")
		}
	}
	if denied := w.Snapshot().Denied; !slices.Equal(denied.Digests, []string{"f1"}) || !slices.Equal(denied.Identities, []string{tillID}) || p.denying.Load() != 4 {
		t.Errorf("first picture: %+v of %d", denied, p.denying.Load())
	}
	p.deny(&revocation.List{Revision: 5})
	if denied := w.Snapshot().Denied; len(denied.Digests)+len(denied.Identities) != 0 || p.denying.Load() != 5 || !streams.Ready() {
		t.Errorf("after the release: %+v of %d", denied, p.denying.Load())
	}
	stop()
	<-ended
}
