package vault

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
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
		PermittedURIDomains: []string{rotation.LinkDomain}, PermittedDNSDomains: []string{rotation.LinkDomain}, PermittedDNSDomainsCritical: true,
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
	request.Template.PermittedURIDomains, request.Template.PermittedDNSDomains = []string{rotation.LinkDomain}, []string{rotation.LinkDomain}
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
	if err := place.Healthy("ensign-1"); err != nil {
		t.Errorf("no matter of every day: %v", err)
	}
	write(t, file, s.vault.NewToken(t, "1h", "ensign-rotation"))
	made(t, place, "ensign-2")
}
