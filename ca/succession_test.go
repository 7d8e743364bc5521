package ca_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
)

// kept is a CA that keeps its issuers.
func (r *remains) kept(t *testing.T, edit func(*ca.Config)) *ca.Service {
	t.Helper()
	return catest.NewMesh(t, func(c *ca.Config) {
		c.Upstream, c.Ledger, c.Issuers, c.LiveIssuers = r.upstream, r.ledger, r.keys, r.ledger.LiveIssuers
		c.Revoked = func(serial string) bool { return r.revoked[serial] }
		if edit != nil {
			edit(c)
		}
	}).Service
}

func TestARestartGoesOnWithTheIssuer(t *testing.T) {
	r := newRemains(t)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	first := must(issue(t, r.kept(t, nil), csr))
	r.upstream.Fail(errors.New("sealed"))
	for range 3 {
		again := must(issue(t, r.kept(t, nil), csr))
		if !again.Issuers[0].Equal(first.Issuers[0]) {
			t.Fatal("a restart made another issuer")
		}
		verify(t, again)
	}
	if n := len(r.ledger.Entries(ca.KindIssuer)); n != 1 {
		t.Errorf("the ledger holds %d issuers", n)
	}
}

// TestWhatIsKeptIsNotTrustedBlindly: a kept issuer that should not sign does not.
func TestWhatIsKeptIsNotTrustedBlindly(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, r *remains, serial string){
		"revoked":         func(_ *testing.T, r *remains, serial string) { r.revoked[serial] = true },
		"of another root": func(t *testing.T, r *remains, _ string) { r.upstream = catest.NewUpstream(t, 365*24*time.Hour) },
		"expired":         func(*testing.T, *remains, string) { time.Sleep(ca.DefaultIssuerLifetime) },
		"damaged": func(t *testing.T, r *remains, serial string) {
			if err := r.keys.Write("issuer-"+serial, []byte("{}")); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRemains(t)
				csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
				first := must(issue(t, r.kept(t, nil), csr)).Issuers[0]
				spoil(t, r, first.SerialNumber.Text(16))
				var log bytes.Buffer
				again := must(issue(t, r.kept(t, func(c *ca.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }), csr))
				if again.Issuers[0].Equal(first) {
					t.Error("it signs on")
				}
				verify(t, again)
				if name == "damaged" && !strings.Contains(log.String(), "delete them") {
					t.Errorf("the log does not say what to do: %s", log.String())
				}
			})
		})
	}
}

// TestAnUnrecordedIssuerIsRecordedBeforeItSigns: the ledger is an older copy.
func TestAnUnrecordedIssuerIsRecordedBeforeItSigns(t *testing.T) {
	r := newRemains(t)
	r.kept(t, nil)
	r.ledger.Wipe()
	r.kept(t, nil)
	if n := len(r.ledger.Entries(ca.KindIssuer)); n != 1 {
		t.Errorf("the ledger holds %d issuers", n)
	}
}

// proxies answer an introduction once their gate is open.
type proxies struct {
	asked atomic.Int32
	mu    sync.Mutex
	gate  chan struct{}
	err   error
}

func (p *proxies) set(gate chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate, p.err = gate, err
}

func (p *proxies) introduce(ctx context.Context, _ *x509.Certificate) error {
	p.asked.Add(1)
	p.mu.Lock()
	gate, err := p.gate, p.err
	p.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
	}
	return err
}

// TestNoIssuerSignsBeforeItWasIntroduced: a start does not wait for it, ensignd's
// own certificate neither, and what fails is tried again with the same issuer.
func TestNoIssuerSignsBeforeItWasIntroduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newRemains(t), &proxies{gate: make(chan struct{}), err: errors.New("a disk is full")}
		service := r.kept(t, func(c *ca.Config) { c.Introduce = p.introduce })
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go service.Run(ctx)
		synctest.Wait()
		if _, err := issue(t, service, csr); !errors.Is(err, ca.ErrIssuerExpired) || !strings.Contains(err.Error(), "introduced") {
			t.Errorf("before it was introduced: %v", err)
		}
		if _, err := service.IssueServer(ctx, ca.ServerRequest{CSR: csr, Names: []string{"localhost"}}); err != nil {
			t.Errorf("ensignd has no certificate: %v", err)
		}
		close(p.gate)
		time.Sleep(30 * time.Second)
		if _, err := issue(t, service, csr); !errors.Is(err, ca.ErrIssuerExpired) || !errors.Is(service.Healthy(time.Now()), ca.ErrIssuerExpired) || p.asked.Load() < 3 {
			t.Errorf("after %d tries that failed: %v", p.asked.Load(), err)
		}
		p.set(make(chan struct{}), nil)
		close(p.gate)
		time.Sleep(time.Minute)
		first := must(issue(t, service, csr))
		if err := service.Healthy(time.Now()); err != nil || len(r.ledger.Entries(ca.KindIssuer)) != 1 {
			t.Errorf("%v; %d issuers were made for one", err, len(r.ledger.Entries(ca.KindIssuer)))
		}
		// The next one is introduced while this one signs.
		p.set(make(chan struct{}), nil)
		time.Sleep(ca.DefaultIssuerLifetime / 2)
		if during := must(issue(t, service, csr)); !during.Issuers[0].Equal(first.Issuers[0]) || len(r.ledger.Entries(ca.KindIssuer)) != 2 {
			t.Error("the next issuer signed before it was introduced, or was not made")
		}
		close(p.gate)
		synctest.Wait()
		if after := must(issue(t, service, csr)); after.Issuers[0].Equal(first.Issuers[0]) {
			t.Error("the next issuer does not sign")
		}
	})
}

func TestARevokedIssuerSignsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemains(t)
		service := r.kept(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		first := must(issue(t, service, csr)).Issuers[0]
		r.revoked[first.SerialNumber.Text(16)] = true
		if _, err := issue(t, service, csr); !errors.Is(err, ca.ErrIssuerExpired) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("a revoked issuer: %v", err)
		}
		if _, err := service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"localhost"}}); !errors.Is(err, ca.ErrIssuerExpired) {
			t.Errorf("a revoked issuer, for a server: %v", err)
		}
		if err := service.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := must(issue(t, service, csr)).Issuers[0]
		if second.Equal(first) {
			t.Error("it was not replaced")
		}
		// Whoever revokes one and dies before Settle: Run sees it within a minute.
		r.revoked[second.SerialNumber.Text(16)] = true
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go service.Run(ctx)
		time.Sleep(time.Minute)
		verify(t, must(issue(t, service, csr)))
	})
}

// TestIssuersFilesAreDeletedWithThem: no key is kept for longer than it is needed.
func TestIssuersFilesAreDeletedWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "keys")
		r := newRemains(t)
		r.keys = must(keystore.Open(dir, keystore.NewKEK()))
		service := r.kept(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go service.Run(ctx)
		time.Sleep(10 * ca.DefaultIssuerLifetime)
		files := must(filepath.Glob(filepath.Join(dir, "issuer-*")))
		if len(files) < 3 || len(files) > 4 || len(r.ledger.Entries(ca.KindIssuer)) < 30 {
			t.Errorf("%d files of %d issuers are kept", len(files), len(r.ledger.Entries(ca.KindIssuer)))
		}
		for _, f := range files {
			if info := must(os.Stat(f)); info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %s", f, info.Mode())
			}
		}
	})
}

// TestAStartWithoutTheUpstream: it comes up, says that nothing can be issued, and goes
// on as soon as an issuer is certified, by itself or by Settle.
func TestAStartWithoutTheUpstream(t *testing.T) {
	for name, goOn := range map[string]func(context.Context, *ca.Service) error{
		"run":    func(ctx context.Context, s *ca.Service) error { return s.Run(ctx) },
		"settle": func(ctx context.Context, s *ca.Service) error { return s.Settle(ctx) },
	} {
		t.Run(name, func(t *testing.T) { startsWithoutUpstream(t, goOn) })
	}
}

func startsWithoutUpstream(t *testing.T, goOn func(context.Context, *ca.Service) error) {
	synctest.Test(t, func(t *testing.T) {
		up := catest.NewUpstream(t, 365*24*time.Hour)
		up.Fail(errors.New("sealed"))
		service, err := ca.New(t.Context(), ca.Config{
			TrustDomain: catest.TrustDomain, Profile: must(ca.NewProfile(ca.ProfileConfig{})), Upstream: up, Ledger: &catest.Ledger{},
		})
		if err != nil {
			t.Fatal(err)
		}
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		_, err = service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"localhost"}})
		if _, none := issue(t, service, csr); !errors.Is(err, ca.ErrIssuerExpired) || !errors.Is(none, ca.ErrIssuerExpired) ||
			!errors.Is(service.Healthy(time.Now()), ca.ErrIssuerExpired) || service.Status().Certificate != nil {
			t.Errorf("without an issuer: %v, %v", err, none)
		}
		up.Fail(nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go goOn(ctx, service)
		time.Sleep(time.Minute)
		verify(t, must(issue(t, service, csr)))
		cancel()
	})
}
