package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
)

var errDead = errors.New("the process died here")

// remains are what outlives a process of the CA.
type remains struct {
	keys     *keystore.Store
	upstream *catest.Upstream
	ledger   *catest.Ledger
	// introduced are the issuers that the proxies know.
	introduced map[string]bool
	revoked    map[string]bool
}

func newRemains(t *testing.T) *remains {
	t.Helper()
	keys, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	return &remains{
		keys: keys, upstream: catest.NewUpstream(t, 365*24*time.Hour), ledger: &catest.Ledger{},
		introduced: map[string]bool{}, revoked: map[string]bool{},
	}
}

// start is a process of the CA that dies at a step of its own.
func (r *remains) start(ctx context.Context, d *doom) (*ca.Service, error) {
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		return nil, err
	}
	return ca.New(ctx, ca.Config{
		TrustDomain: catest.TrustDomain, Profile: profile,
		Upstream: mortal{r, d}, Ledger: mortal{r, d}, Issuers: mortal{r, d}, LiveIssuers: r.ledger.LiveIssuers,
		Introduce: func(_ context.Context, issuer *x509.Certificate) error {
			return d.step("introduce", func() error { r.introduced[ca.Fingerprint(issuer)] = true; return nil })
		},
		Revoked: func(serial string) bool { return r.revoked[serial] },
	})
}

// doom kills a process at its nth step, before or after that had an effect.
type doom struct {
	at    int
	after bool
	died  chan struct{}

	mu    sync.Mutex // held while a step is taken
	steps int
	name  string
}

// dead is the step at which it died, "" while it lives.
func (d *doom) dead() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.name
}

func newDoom(at int, after bool) *doom { return &doom{at: at, after: after, died: make(chan struct{})} }

func (d *doom) step(name string, act func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps++
	switch {
	case d.name != "":
		return errDead
	case d.steps != d.at:
		return act()
	}
	d.name = name
	defer close(d.died)
	if d.after {
		if err := act(); err != nil {
			return err
		}
	}
	return errDead
}

// mortal is everything around a process that dies.
type mortal struct {
	*remains
	*doom
}

func (m mortal) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) (chain []*x509.Certificate, err error) {
	err = m.step("certify", func() (err error) { chain, err = m.upstream.CertifyIssuer(ctx, r); return err })
	return chain, err
}

func (m mortal) Bundle(ctx context.Context) (ca.Bundle, error) { return m.upstream.Bundle(ctx) }

func (m mortal) Signing() *x509.Certificate { return m.upstream.Signing() }

func (m mortal) Append(ctx context.Context, e ca.Entry) (index uint64, err error) {
	err = m.step("append "+string(e.Kind), func() (err error) { index, err = m.ledger.Append(ctx, e); return err })
	return index, err
}

func (m mortal) LoadIssuers() ([]ca.StoredIssuer, error) { return m.keys.LoadIssuers() }

func (m mortal) SaveIssuer(i ca.StoredIssuer) error {
	return m.step(fmt.Sprint("save, introduced ", i.Introduced), func() error { return m.keys.SaveIssuer(i) })
}

func (m mortal) DeleteIssuer(serial string) error {
	return m.step("delete", func() error { return m.keys.DeleteIssuer(serial) })
}

// live runs a process until it dies or the time has come, asking for SVIDs.
func (r *remains) live(t *testing.T, d *doom, until time.Time) *ca.Service {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); synctest.Wait() }()
	service, err := r.start(ctx, d)
	if err != nil {
		if !errors.Is(err, errDead) {
			t.Error(err)
		}
		return nil
	}
	go service.Run(ctx)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	synctest.Wait()
	for time.Now().Before(until) && d.dead() == "" {
		if _, err := issue(t, service, csr); err != nil && d.dead() == "" {
			t.Errorf("at %s: %v", time.Now(), err)
		}
		select {
		case <-d.died:
		case <-time.After(ca.DefaultIssuerLifetime / 5):
		}
	}
	return service
}

// TestCrashAtEveryStep: wherever the process dies in the life of its issuers, the
// next one goes on with them, and at the end all is as if nobody had died.
func TestCrashAtEveryStep(t *testing.T) {
	seen := map[string]bool{}
	for _, after := range []bool{false, true} {
		for at, alive := 1, false; !alive; at++ {
			synctest.Test(t, func(t *testing.T) {
				r, d, end := newRemains(t), newDoom(at, after), time.Now().Add(ca.DefaultIssuerLifetime*6/5)
				r.live(t, d, end)
				alive = d.dead() == ""
				seen[d.dead()] = true
				survivor := r.live(t, newDoom(0, false), end.Add(ca.DefaultIssuerLifetime/5))
				if r.check(t, survivor); t.Failed() {
					t.Errorf("died at step %d (%s), after it: %v", at, d.dead(), after)
					alive = true
				}
			})
		}
	}
	for _, step := range []string{"certify", "save, introduced false", "append issuer", "introduce", "save, introduced true", "append svid", "delete"} {
		if !seen[step] {
			t.Errorf("nobody died at %q", step)
		}
	}
}

// check looks at what is left when all is done.
func (r *remains) check(t *testing.T, survivor *ca.Service) {
	t.Helper()
	if survivor == nil {
		t.Fatal("nothing issues")
	}
	issuers, known := r.ledger.Entries(ca.KindIssuer), map[string]ca.Entry{}
	for n, e := range issuers {
		if n > 0 && e.NotBefore.Sub(issuers[n-1].NotBefore) < ca.DefaultIssuerLifetime/4 {
			t.Errorf("issuer %s was made though %s was still young", e.Serial, issuers[n-1].Serial)
		}
		known[e.Serial] = e
		_, err := survivor.SignCRL(e.Serial, big.NewInt(int64(n+1)), nil)
		if expired := !time.Now().Before(e.NotAfter); errors.Is(err, ca.ErrIssuerKeyGone) != expired || (err == nil) == expired {
			t.Errorf("CRL of issuer %s (expired: %v): %v", e.Serial, expired, err)
		}
	}
	if len(known) != len(issuers) {
		t.Errorf("%d entries are of %d issuers", len(issuers), len(known))
	}
	for _, svid := range r.ledger.Entries(ca.KindSVID) {
		if issuer, ok := known[svid.IssuerSerial]; !ok || !r.introduced[issuer.Certificate] || svid.Time.Before(issuer.Time) {
			t.Errorf("an SVID of %s is signed by an issuer that is unrecorded or was not introduced", svid.Time)
		}
	}
	kept, err := r.keys.LoadIssuers()
	if err != nil {
		t.Error(err)
	}
	for _, k := range kept { // Run looks once a minute
		if _, recorded := known[k.Serial()]; !recorded || time.Since(k.Chain[0].NotAfter) > time.Minute {
			t.Errorf("the key of issuer %s is kept; recorded: %v, expires %s", k.Serial(), recorded, k.Chain[0].NotAfter)
		}
	}
}
