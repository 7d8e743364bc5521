package vault

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

func made(t *testing.T, p *Place, name string) rotation.Root {
	t.Helper()
	r, err := p.Make(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// linkRequest asks for a link to a root, as package rotation does.
func linkRequest(t *testing.T, to rotation.Root) ca.IssuerRequest {
	t.Helper()
	csr, err := to.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	cert := to.Chain()[0]
	return ca.IssuerRequest{CSR: csr, PublicKey: cert.PublicKey, Template: &x509.Certificate{
		SerialNumber: serial, Subject: cert.Subject, NotBefore: time.Now().Add(-ca.Backdate), NotAfter: cert.NotAfter,
		IsCA: true, MaxPathLenZero: true, BasicConstraintsValid: true, KeyUsage: caUsage,
		PermittedURIDomains: []string{catest.TrustDomain.Name()}, PermittedDNSDomainsCritical: true,
	}}
}

// TestARotationWithinVault: another root, beside the first; a link to it from the
// first, and one back; issuers under both; with the shipped policies.
func TestARotationWithinVault(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	first := s.first(t)
	place := first.place
	next := made(t, place, "ensign-abc123")
	cert := next.Chain()[0]
	if cert.Equal(first.chain[0]) || ca.Fingerprint(cert) == ca.Fingerprint(first.chain[0]) || cert.Subject.CommonName != "Ensign root ensign-abc123" {
		t.Errorf("the next root is %q", cert.Subject)
	}
	if life := time.Until(cert.NotAfter); life < RootLife-time.Hour || life > RootLife {
		t.Errorf("it lives for %s", life)
	}
	for _, pair := range [][2]rotation.Root{{first, next}, {next, first}} {
		chain, err := pair[0].CertifyIssuer(t.Context(), linkRequest(t, pair[1]))
		if err != nil {
			t.Fatal(err)
		}
		link, to := chain[0], pair[1].Chain()[0]
		if len(chain) != 1 || link.CheckSignatureFrom(pair[0].Chain()[0]) != nil || string(link.RawSubject) != string(to.RawSubject) ||
			string(link.RawSubjectPublicKeyInfo) != string(to.RawSubjectPublicKeyInfo) || !link.MaxPathLenZero {
			t.Errorf("the link is %q of %q, want %q", link.Subject, link.Issuer, to.Subject)
		}
		if life := time.Until(link.NotAfter); life < linkLives[0]-time.Hour || life > linkLives[0] {
			t.Errorf("it lives for %s", life)
		}
		issue(t, s.service(t, pair[1]))
	}
	again, err := s.place(t).Open(t.Context(), "ensign-abc123", next.Chain())
	if err != nil {
		t.Fatal(err)
	}
	issue(t, s.service(t, again))
	issue(t, s.service(t, first))
}

// TestALinkToARootOfAnotherPlace, which Vault does not know, and issuers that call
// themselves roots get no daily signature.
func TestALinkToARootOfAnotherPlace(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	first := s.first(t)
	foreign := under(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.Subject.Organization = "Ensign root 0abc", []string{"cluster.local"}
	})
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: foreign.cert.Subject}, foreign.key)
	if err != nil {
		t.Fatal(err)
	}
	request := newRequest(t)
	request.CSR, request.PublicKey, request.Template.Subject = csr, foreign.key.Public(), foreign.cert.Subject
	request.Template.NotAfter = time.Now().Add(30 * time.Hour)
	chain, err := first.CertifyIssuer(t.Context(), request)
	if err != nil || string(chain[0].RawSubject) != string(foreign.cert.RawSubject) || chain[0].NotAfter.After(request.Template.NotAfter) {
		t.Fatalf("%v", err)
	}
	if _, err := first.sign(t.Context(), first.place.daily, request, issuerLife(request.Template)); !errors.Is(err, ErrDenied) {
		t.Errorf("a link by the daily policy: %v", err)
	}
	s.cfg.RotationAuth = nil
	if _, err := s.first(t).CertifyIssuer(t.Context(), request); !errors.Is(err, ErrNoRotation) {
		t.Errorf("a link without the rotation's credentials: %v", err)
	}
}

// TestMakingIsIdempotent, by one and by several at once, and a Vault that was empty
// will do.
func TestMakingIsIdempotent(t *testing.T) {
	t.Parallel()
	s := newSet(t, "ISSUER=")
	s.cfg.Issuer = ""
	var group sync.WaitGroup
	var prints sync.Map
	for range 4 {
		place := s.place(t)
		group.Go(func() {
			r, err := place.Make(t.Context(), "ensign-2")
			if err != nil {
				t.Error(err)
				return
			}
			prints.Store(ca.Fingerprint(r.Chain()[0]), true)
		})
	}
	group.Wait()
	found := 0
	prints.Range(func(any, any) bool { found++; return true })
	if found != 1 || len(s.issuers(t)) != 2 { // with the default
		t.Errorf("%d roots, issuers %v", found, s.issuers(t))
	}
}

func TestRootsThatAreNotMade(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, name := range []string{"", "default", "ensign-", "other-1", "ensign-A", "ensign-a/../x", "ensign-" + strings.Repeat("a", 34)} {
		if _, err := s.place(t).Make(t.Context(), name); err == nil {
			t.Errorf("made %q", name)
		}
	}
	rotating := s.cfg.RotationAuth
	s.cfg.RotationAuth = nil
	place := s.place(t)
	if _, err := place.Make(t.Context(), "ensign-2"); !errors.Is(err, ErrNoRotation) || !strings.Contains(err.Error(), "--vault-rotation-auth") {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := s.first(t).Request(t.Context()); !errors.Is(err, ErrNoRotation) {
		t.Errorf("without credentials: %v", err)
	}
	s.cfg.RotationAuth = s.cfg.Auth
	if _, err := s.place(t).Make(t.Context(), "ensign-2"); !errors.Is(err, ErrDenied) {
		t.Errorf("with the daily ones: %v", err)
	}
	s.cfg.RotationAuth = rotating
	// Who holds a name keeps it, and is not believed for it.
	s.vault.Write(t, "ensign/root/rotate/internal", map[string]any{"issuer_name": "ensign-2", "common_name": "Ensign root ensign-2",
		"organization": "cluster.local", "key_type": "ec", "max_path_length": 2, "not_before_duration": "900s", "ttl": "80000h"})
	if _, err := s.place(t).Make(t.Context(), "ensign-2"); !errors.Is(err, ErrAnswer) {
		t.Errorf("a root without limits: %v", err)
	}
}

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

// TestAnOutsideRootAboveVault: workloads trust it, chains go up to it, and the next one
// is a person's to make, who is told how; then the rotation goes on.
func TestAnOutsideRootAboveVault(t *testing.T) {
	t.Parallel()
	s := newSet(t, "ISSUER=")
	s.vault.Write(t, "sys/mounts/outside", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	s.vault.Write(t, "outside/root/generate/internal", map[string]any{"common_name": "Outside root", "issuer_name": "one", "key_type": "ec", "ttl": "80000h",
		"not_before_duration": "1200s"})
	s.outside(t, "under-outside", "one", false)
	s.cfg.Issuer = "under-outside"
	if _, _, err := s.place(t).First(t.Context()); !errors.Is(err, ErrAnswer) {
		t.Fatalf("a chain that does not reach the root: %v", err)
	}
	top, err := s.vault.API.Logical().Read("outside/issuer/one")
	if err != nil {
		t.Fatal(err)
	}
	s.vault.Write(t, "ensign/issuers/import/cert", map[string]any{"pem_bundle": top.Data["certificate"]})
	first := s.first(t)
	service := s.service(t, first)
	if got := issue(t, service); len(got) != 3 || got[2].Subject.CommonName != "Ensign root under-outside" {
		t.Errorf("%d certificates", len(got))
	}
	if roots := service.Bundle().Roots(); len(roots) != 1 || roots[0].Subject.CommonName != "Outside root" {
		t.Errorf("%d roots", len(roots))
	}
	_, err = first.place.Make(t.Context(), "ensign-2")
	if !errors.Is(err, ErrByHand) {
		t.Fatalf("the next outside root: %v", err)
	}
	for _, word := range []string{"ensign/intermediate/generate/internal", "common_name='Ensign root ensign-2' organization=cluster.local", "issuer_name=ensign-2"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	s.vault.Write(t, "outside/root/rotate/internal", map[string]any{"common_name": "Outside root 2", "issuer_name": "two", "key_type": "ec", "ttl": "80000h",
		"not_before_duration": "1200s"})
	s.outside(t, "ensign-2", "two", true)
	next := made(t, first.place, "ensign-2")
	if len(next.Chain()) != 2 || next.Chain()[1].Subject.CommonName != "Outside root 2" {
		t.Errorf("a chain of %d", len(next.Chain()))
	}
	issue(t, s.service(t, next))
	if _, err := first.CertifyIssuer(t.Context(), linkRequest(t, next)); err != nil {
		t.Errorf("a link from one to the other: %v", err)
	}
}

// outside makes an intermediate as the message of ErrByHand says.
func (s *set) outside(t *testing.T, name, signer string, whole bool) {
	t.Helper()
	v, subject := s.vault, map[string]any{"common_name": "Ensign root " + name, "organization": "cluster.local", "exclude_cn_from_sans": true}
	with := func(more map[string]any) map[string]any {
		for k, value := range subject {
			more[k] = value
		}
		return more
	}
	request := v.Write(t, "ensign/intermediate/generate/internal", with(map[string]any{"key_type": "ec"}))
	signed := v.Write(t, "outside/issuer/"+signer+"/sign-intermediate", with(map[string]any{"csr": request.Data["csr"], "max_path_length": 1, "ttl": "40000h",
		"permitted_uri_domains": "cluster.local", "not_before_duration": "900s"}))
	imported := v.Write(t, "ensign/intermediate/set-signed", map[string]any{"certificate": signed.Data["certificate"]})
	if whole {
		v.Write(t, "ensign/issuers/import/cert", map[string]any{"pem_bundle": signed.Data["issuing_ca"]})
	}
	v.Write(t, "ensign/issuer/"+fmt.Sprint(imported.Data["imported_issuers"].([]any)[0]), map[string]any{"issuer_name": name})
}

// TestARotationCredentialIsReadWhenItIsNeeded: it may come with the hour of the rotation.
func TestARotationCredentialIsReadWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	file := filepath.Join(t.TempDir(), "later")
	s.cfg.RotationAuth = TokenFile(file)
	place := s.first(t).place
	if _, err := place.Make(t.Context(), "ensign-2"); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("no token yet: %v", err)
	}
	if err := place.Healthy(); err != nil {
		t.Errorf("no matter of every day: %v", err)
	}
	write(t, file, s.vault.NewToken(t, "1h", "ensign-rotation"))
	made(t, place, "ensign-2")
}
