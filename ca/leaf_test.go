package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSignsExactlyWhatWasLintedAndOnce(t *testing.T) {
	p := newPrepared(t)
	if _, err := p.sign(t.Context()); !errors.Is(err, ErrMisissuance) {
		t.Fatalf("signed without lint: %v", err)
	}
	if err := p.lint(); err != nil {
		t.Fatal(err)
	}
	leaf, err := p.sign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(leaf.RawTBSCertificate, p.linted) {
		t.Error("signed bytes differ from the linted ones")
	}
	if err := p.validate(leaf); err != nil {
		t.Error(err)
	}
	if _, err := p.sign(t.Context()); !errors.Is(err, ErrMisissuance) {
		t.Errorf("signed twice: %v", err)
	}
}

// TestValidateCatches what happens between lint and sign, or in a signer.
func TestValidateCatches(t *testing.T) {
	for check, sign := range map[string]func(p *prepared) (*x509.Certificate, error){
		"as_linted": func(p *prepared) (*x509.Certificate, error) {
			p.template.SerialNumber = new(big.Int).Add(p.template.SerialNumber, big.NewInt(1))
			return signTBS(must(toBeSigned(p.template, p.issuer.cert, p.want.key)), p.issuer.cert, p.issuer.key)
		},
		"chain": func(p *prepared) (*x509.Certificate, error) { return signTBS(p.linted, p.issuer.cert, newTestKey(t)) },
	} {
		p := newPrepared(t)
		if err := p.lint(); err != nil {
			t.Fatal(err)
		}
		leaf := must(sign(p))
		var lint *LintError
		if err := p.validate(leaf); !errors.As(err, &lint) || lint.Check != check {
			t.Errorf("%s: got %v", check, err)
		}
	}
}

// mute is a key that must not sign.
type mute struct{ crypto.Signer }

func (mute) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("signed") }

// TestNothingIsSignedBeforeLint: what is linted is worth nothing, and what fails
// its lint never meets the key.
func TestNothingIsSignedBeforeLint(t *testing.T) {
	p := newPrepared(t)
	p.issuer.key = mute{p.issuer.key}
	if err := p.lint(); err != nil {
		t.Fatal(err)
	}
	if err := p.validate(must(parseTBS(p.linted, noSignature, algorithmOf(p.issuer.cert)))); err == nil {
		t.Error("what is not signed leads to the root")
	}
	p = newPrepared(t)
	p.issuer.key = mute{p.issuer.key}
	p.template.DNSNames = []string{"reviews"}
	if err := p.lint(); !errors.Is(err, ErrMisissuance) {
		t.Errorf("a bad one passes: %v", err)
	}
	if _, err := p.sign(t.Context()); !errors.Is(err, ErrMisissuance) {
		t.Errorf("a bad one is signed: %v", err)
	}
}

// TestSignsAsX509Does: the certificate is the one that x509 would have made.
func TestSignsAsX509Does(t *testing.T) {
	p := newPrepared(t)
	if err := p.lint(); err != nil {
		t.Fatal(err)
	}
	ours, theirs := must(p.sign(t.Context())), signTest(t, p.template, p.issuer.cert, p.want.key, p.issuer.key)
	if !bytes.Equal(ours.RawTBSCertificate, theirs.RawTBSCertificate) || ours.SignatureAlgorithm != theirs.SignatureAlgorithm {
		t.Error("it differs in more than its signature")
	}
	if len(ours.Raw)-len(ours.Signature) != len(theirs.Raw)-len(theirs.Signature) {
		t.Errorf("%d bytes around a signature of %d, x509 makes %d around %d", len(ours.Raw), len(ours.Signature), len(theirs.Raw), len(theirs.Signature))
	}
}

// TestIssuersAreHeldToTheirTrustDomain: even a stolen issuer key makes nothing
// for another trust domain, and no further CA, that a peer would believe.
func TestIssuersAreHeldToTheirTrustDomain(t *testing.T) {
	for uri, want := range map[string]bool{
		"spiffe://cluster.local/ns/shop/sa/reviews":      true,
		"spiffe://evil.example/ns/shop/sa/reviews":       false,
		"spiffe://cluster.local.evil/ns/shop/sa/reviews": false,
		"spiffe://xcluster.local/ns/shop/sa/reviews":     false,
	} {
		p := newPrepared(t)
		p.template.URIs = []*url.URL{must(url.Parse(uri))}
		forged := signTest(t, p.template, p.issuer.cert, p.want.key, p.issuer.key)
		_, err := forged.Verify(x509.VerifyOptions{
			Roots: poolOf([]*x509.Certificate{p.issuer.root}), Intermediates: poolOf(p.issuer.chain), KeyUsages: p.want.usages,
		})
		if (err == nil) != want {
			t.Errorf("%s: %v", uri, err)
		}
	}
	p := newPrepared(t)
	p.template.IsCA, p.template.KeyUsage = true, x509.KeyUsageCertSign
	subordinate := signTest(t, p.template, p.issuer.cert, p.want.key, p.issuer.key)
	chain := poolOf(p.issuer.chain)
	chain.AddCert(subordinate)
	leaf := *p.template
	leaf.IsCA, leaf.KeyUsage = false, x509.KeyUsageDigitalSignature
	key := newTestKey(t)
	subordinate.PublicKey = key.Public()
	forged := signTest(t, &leaf, subordinate, key.Public(), key)
	_, err := forged.Verify(x509.VerifyOptions{Roots: poolOf([]*x509.Certificate{p.issuer.root}), Intermediates: chain, KeyUsages: p.want.usages})
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.TooManyIntermediates {
		t.Errorf("an issuer made a CA: %v", err)
	}
}

func TestSerial(t *testing.T) {
	seen := map[string]bool{}
	for range 10000 {
		serial := must(newSerial())
		if serial.Sign() <= 0 || serial.BitLen() > serialBits || serial.BitLen() < serialBits/2 {
			t.Fatalf("serial %x", serial)
		}
		if seen[serial.String()] {
			t.Fatalf("serial %x came twice", serial)
		}
		seen[serial.String()] = true
	}
}

// TestReplaceAt: always in the future, always before half of what is left.
func TestReplaceAt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(r, "now"), 0)
		life := time.Duration(rapid.Int64Range(int64(time.Second), int64(maxIssuerLifetime)).Draw(r, "life"))
		at := replaceAt(now, now.Add(life), rapid.Float64Range(0, 0.1).Draw(r, "jitter"))
		if !at.After(now) || !at.Before(now.Add(life/2)) {
			r.Fatalf("issuer of %s is replaced after %s", life, at.Sub(now))
		}
	})
}

// TestValidityNeverLeavesItsBounds holds for odd instants and lives too.
func TestValidityNeverLeavesItsBounds(t *testing.T) {
	profile := must(NewProfile(ProfileConfig{}))
	rapid.Check(t, func(r *rapid.T) {
		start := time.Unix(rapid.Int64Range(1<<20, 1<<33).Draw(r, "start"), 0)
		end := start.Add(time.Duration(rapid.Int64Range(1, 1<<20).Draw(r, "life")) * time.Second)
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(start))-1).Draw(r, "age")))
		asked := time.Duration(rapid.Int64Range(0, 1<<62).Draw(r, "asked"))
		from, to := profile.validity(now, asked, start, end)
		switch {
		case from.Before(start) || to.After(end):
			r.Fatalf("window %s to %s leaves the issuer's", from, to)
		case from.After(now) || now.Sub(from) > Backdate+time.Second:
			r.Fatalf("starts at %s", from)
		case to.Sub(now) > profile.longest || (asked >= profile.shortest && to.Sub(now) > asked):
			r.Fatalf("asked for %s, got %s", asked, to.Sub(now))
		case from.Nanosecond() != 0 || to.Nanosecond() != 0:
			r.Fatal("not in whole seconds")
		}
	})
}

// TestIssueWhileRotating: every leaf comes with the chain that signed it.
func TestIssueWhileRotating(t *testing.T) {
	service, caller, text := benchmarkService(t, nil)
	csr := must(ParseCSR(text))
	var revoked sync.Map
	service.cfg.Revoked = func(serial string) bool { _, is := revoked.Load(serial); return is }
	done := make(chan error, 1)
	go func() {
		for range 100 {
			revoked.Store(service.current.Load().serial, true)
			if err := service.Settle(t.Context()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	issuers := map[string]bool{}
	for len(issuers) < 3 {
		issued, err := service.Issue(t.Context(), Request{Caller: caller, CSR: csr})
		if errors.Is(err, ErrIssuerExpired) {
			continue // revoked, and the next one is not there yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: poolOf(issued.Bundle.roots), Intermediates: poolOf(issued.Issuers)}); err != nil {
			t.Fatal(err)
		}
		issuers[issued.Issuers[0].SerialNumber.String()] = true
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
