package vault

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// rotationTroubles are bad days of Make and Request.
func rotationTroubles(t *testing.T, s *set, p *proxy) []badDay {
	stranger := under(t, nil, nil)
	return []badDay{
		{"sealed", func() { s.vault.Seal(t) }, func() { s.vault.Unseal(t) }, ErrSealed},
		{"gone", func() { s.vault.Kill(t) }, func() { s.vault.Run(t) }, ErrRefused},
		{"slow", func() { p.set(slow) }, nil, ErrUnreachable},
		{"5xx", func() { p.set(broken(500)) }, nil, ErrRefused},
		{"cut in mid-answer", func() { p.set(cut) }, nil, ErrUnreachable},
		{"cut when it was made", func() { p.set(after(1, cut)) }, nil, ErrUnreachable},
		{"slow when it was made", func() { p.set(after(1, passThenSlow)) }, nil, ErrUnreachable},
		{"endless", func() { p.set(endless) }, nil, ErrAnswer},
		{"another root returned", func() {
			p.set(changed(t, func(data map[string]any) {
				data["certificate"], data["ca_chain"] = pemOf(stranger.cert), []any{pemOf(stranger.cert)}
			}))
		}, nil, nil},
		{"a request for another key", func() { p.set(requested(t, "Ensign root ensign-1", stranger.key)) }, nil, nil},
		{"a request of no certificate", func() {
			p.set(changed(t, func(data map[string]any) { delete(data, "csr") }))
		}, nil, nil},
	}
}

// requested answers with another signing request than Vault's.
func requested(t *testing.T, name string, key crypto.Signer) trouble {
	subject := pkix.Name{Organization: []string{catest.TrustDomain.Name()}, CommonName: name}
	csr := string(catest.CSRFrom(t, key, &x509.CertificateRequest{Subject: subject}))
	return changed(t, func(data map[string]any) {
		if _, ok := data["csr"]; ok {
			data["csr"] = csr
		}
	})
}

// after lets some requests with a body pass before trouble begins.
func after(n int64, bad trouble) trouble {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPut || seen.Load() > 0 {
			if seen.Add(1) >= n {
				bad(w, r, pass)
				return
			}
		}
		pass.ServeHTTP(w, r)
	}
}

// passThenSlow does what is asked, and keeps the answer for itself.
func passThenSlow(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	cutOff := discard{http.Header{}}
	pass.ServeHTTP(cutOff, r)
	slow(w, r, pass)
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestRotationsOutliveVaultsTroubles: each try fails soon and says why, and the next
// one, when Vault is well again, finds or makes the one root of that name.
func TestRotationsOutliveVaultsTroubles(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	p := newProxy(t, s.vault)
	s.cfg.Address, s.cfg.CAFile, s.cfg.Timeout = p.address, "", 3*time.Second
	first := s.first(t)
	for n, c := range rotationTroubles(t, s, p) {
		t.Run(c.name, func(t *testing.T) {
			name, before := fmt.Sprintf("ensign-bad-%d", n), len(s.issuers(t))
			c.begin()
			start := time.Now()
			_, makeErr := first.place.Make(t.Context(), name)
			_, requestErr := first.Request(t.Context())
			if took := time.Since(start); took > 3*s.cfg.Timeout {
				t.Errorf("it took %s to say so", took)
			}
			t.Logf("make: %v\nrequest: %v", makeErr, requestErr)
			switch {
			case c.want == nil && makeErr == nil && requestErr == nil:
				t.Error("both went well")
			case c.want != nil && (!errors.Is(makeErr, c.want) || !errors.Is(requestErr, c.want)):
				t.Errorf("want %v", c.want)
			}
			p.set(nil)
			if c.end != nil {
				c.end()
			}
			next := made(t, first.place, name)
			if _, err := first.CertifyIssuer(t.Context(), linkRequest(t, next)); err != nil {
				t.Error(err)
			}
			if again := made(t, first.place, name); !again.Chain()[0].Equal(next.Chain()[0]) {
				t.Error("another root of that name")
			}
			if count := len(s.issuers(t)); count != before+1 {
				t.Errorf("issuers %v", s.issuers(t))
			}
		})
	}
}

// TestAVaultThatDiesWhileItMakesARoot, at any moment: what it left half-made is no
// hindrance.
func TestAVaultThatDiesWhileItMakesARoot(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	place := s.place(t)
	made(t, place, "ensign-warm")
	for n := range 6 {
		name := fmt.Sprintf("ensign-crash-%d", n)
		done := make(chan error, 1)
		go func() {
			_, err := place.Make(t.Context(), name)
			done <- err
		}()
		time.Sleep(time.Duration(4+4*n) * time.Millisecond)
		s.vault.Kill(t)
		t.Logf("killed: %v", <-done)
		s.vault.Run(t)
		next := made(t, place, name)
		if _, err := next.Request(t.Context()); err != nil {
			t.Error(err)
		}
		if count := len(s.issuers(t)); count != n+4 {
			t.Errorf("issuers %v", s.issuers(t))
		}
	}
}
