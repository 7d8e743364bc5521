package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// TestIstiosIntermediateSignsItself: of path length 0, it is the issuer, over restarts
// and when its folder is gone.
func TestIstiosIntermediateSignsItself(t *testing.T) {
	i := newImports(t, newForeign().write(t))
	m, s := i.start(t)
	first := svid(t, s)
	verifies(t, first)
	if first.Leaf.SignatureAlgorithm != x509.SHA256WithRSA || first.Issuers[0].Subject.CommonName != "Intermediate CA" || !first.Bundle.Holds(m.Signing()) {
		t.Errorf("signed by %q with %s", first.Issuers[0].Subject, first.Leaf.SignatureAlgorithm)
	}
	if !strings.Contains(i.log.String(), "anybody in this mesh") {
		t.Errorf("it came into force in silence: %s", i.log.String())
	}
	if err := os.RemoveAll(i.Folder); err != nil {
		t.Fatal(err)
	}
	i.Folder = ""
	_, again := i.start(t)
	if second := svid(t, again); !second.Issuers[0].Equal(first.Issuers[0]) {
		t.Error("a restart has another issuer")
	}
	if err := again.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	if st := again.Status(); !st.ReplaceAt.Equal(first.Issuers[0].NotAfter) || st.Root != ca.Fingerprint(m.Signing()) {
		t.Errorf("status %+v", st)
	}
	if _, err := again.SignCRL(first.Issuers[0].SerialNumber.Text(16), big.NewInt(1), nil); !errors.Is(err, ca.ErrNoCRL) {
		t.Errorf("a CRL that nobody takes: %v", err)
	}
	if issuers := i.ledger.Entries(ca.KindIssuer); len(issuers) != 1 || issuers[0].IssuerSerial != "1" || len(i.ledger.Entries(ca.KindRoot)) != 1 {
		t.Errorf("ledger: %+v", issuers)
	}
	if _, err := (&root{key: istioKeys()[1], chain: append(first.Issuers, m.Signing())}).CertifyIssuer(t.Context(), ca.IssuerRequest{Template: &x509.Certificate{
		IsCA: true, MaxPathLenZero: true, PermittedURIDomains: []string{"cluster.local"}}}); !errors.Is(err, ca.ErrSignsNoCA) {
		t.Errorf("it certified a CA: %v", err)
	}
}

// TestAForeignCAThatCertifiesOurs: of path length 1 or more, or a root itself. Ours has
// its name constraint, and signs CRLs.
func TestAForeignCAThatCertifiesOurs(t *testing.T) {
	longer, self := newForeign(), newForeign()
	longer.cert.MaxPathLen, longer.cert.MaxPathLenZero = 1, false
	self.files = map[string]string{}
	own, err := create(self.root, self.root, self.rootKey.Public(), self.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	self.key = self.rootKey
	for _, name := range []string{caCertFile, chainFile, rootFile} {
		self.files[name] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Raw}))
	}
	for name, f := range map[string]*foreign{"intermediate": longer, "self-signed": self} {
		t.Run(name, func(t *testing.T) {
			i := newImports(t, f.write(t))
			_, s := i.start(t)
			issued := svid(t, s)
			verifies(t, issued)
			if !strings.HasPrefix(issued.Issuers[0].Subject.CommonName, "Ensign issuer ") || issued.Issuers[0].NotAfter.After(time.Now().Add(8*24*time.Hour)) {
				t.Errorf("signed by %q", issued.Issuers[0].Subject)
			}
			if _, err := s.SignCRL(issued.Issuers[0].SerialNumber.Text(16), big.NewInt(1), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// moving is an upstream whose root a test moves.
type moving struct {
	roots   map[*x509.Certificate]rotation.Root
	trusted ca.Bundle
	signing *x509.Certificate
}

func (m *moving) Bundle(context.Context) (ca.Bundle, error) { return m.trusted, nil }
func (m *moving) Signing() *x509.Certificate                { return m.signing }
func (m *moving) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	return m.roots[m.signing].CertifyIssuer(ctx, r)
}

// TestAwayFromIstiosCAAndBack: a built-in root takes over, and Istio's intermediate can
// sign again though it can't certify anybody; once revoked it never does.
func TestAwayFromIstiosCAAndBack(t *testing.T) {
	p, revoked := newPlace(t), map[string]bool{}
	i := newImports(t, newForeign().write(t))
	i.Keys, i.Issuers, i.ImportConfig.Ledger = p.Keys, p.Keys.(*keystore.Store), p.ledger
	from, err := i.first(t)
	if err != nil {
		t.Fatal(err)
	}
	to := made2(t, p.builtin(t), "ensign-one")
	old, fresh := from.Chain()[1], to.Chain()[0]
	both, err := ca.NewBundle(old, fresh)
	if err != nil {
		t.Fatal(err)
	}
	up := &moving{roots: map[*x509.Certificate]rotation.Root{old: from, fresh: to}, trusted: both, signing: old}
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ca.New(t.Context(), ca.Config{TrustDomain: p.TrustDomain, Profile: profile, Upstream: up, Ledger: p.ledger, Issuers: i.Issuers,
		LiveIssuers: p.ledger.LiveIssuers, Revoked: func(serial string) bool { return revoked[serial] }})
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []*x509.Certificate{old, fresh, old, fresh} {
		up.signing = root
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		issued := svid(t, s)
		verifies(t, issued)
		if s.Status().Root != ca.Fingerprint(root) {
			t.Errorf("signed by %q", issued.Issuers[0].Subject)
		}
	}
	revoked[from.Chain()[0].SerialNumber.Text(16)] = true
	up.signing = old
	if err := s.Settle(t.Context()); !errors.Is(err, ca.ErrSignsNoCA) || !strings.Contains(err.Error(), "ensign ca rotate root") {
		t.Errorf("a revoked CA: %v", err)
	}
	if n := len(p.ledger.Entries(ca.KindIssuer)); n != 2 {
		t.Errorf("%d issuers", n)
	}
}

// TestCrashWhileImporting: wherever the process dies, the next one ends with the same
// CA, recorded once.
func TestCrashWhileImporting(t *testing.T) {
	folder := newForeign().write(t)
	steps := 0
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			i := newImports(t, folder)
			m := &mortal{KeyStore: i.keys, IssuerStore: i.keys, Ledger: i.ledger, at: at, after: after}
			i.Keys, i.Issuers, i.ImportConfig.Ledger = m, m, m
			_, err := i.first(t)
			if err == nil {
				break
			}
			if !errors.Is(err, errDead) {
				t.Fatal(err)
			}
			steps++
			i.Keys, i.Issuers, i.ImportConfig.Ledger = i.keys, i.keys, i.ledger
			_, s := i.start(t)
			verifies(t, svid(t, s))
			kept, err := i.keys.LoadIssuers()
			if err != nil || len(kept) != 1 || len(i.ledger.Entries(ca.KindRoot)) != 1 || len(i.ledger.Entries(ca.KindIssuer)) != 1 {
				t.Errorf("died at step %d (after it: %v): %d issuers kept, %d roots recorded, %v", at, after, len(kept), len(i.ledger.Entries(ca.KindRoot)), err)
			}
		}
	}
	if steps != 6 {
		t.Errorf("it died at %d steps: seal, keep, record; before and after", steps)
	}
}

func TestWhatIsNotImported(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string) string { return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: ecKey})) }
	for says, edit := range map[string]func(f *foreign){
		"is not the key of":      func(f *foreign) { f.files = map[string]string{caKeyFile: text("EC PRIVATE KEY")} },
		"a private key in clear": func(f *foreign) { f.files = map[string]string{caKeyFile: text("ENCRYPTED PRIVATE KEY")} },
		"one private key": func(f *foreign) {
			f.files = map[string]string{caKeyFile: text("EC PRIVATE KEY") + text("EC PRIVATE KEY")}
		},
		"no PEM block":            func(f *foreign) { f.files = map[string]string{caKeyFile: "secret"} },
		"at most 262144 bytes":    func(f *foreign) { f.files = map[string]string{chainFile: strings.Repeat("x", maxFile+1)} },
		"something else than PEM": func(f *foreign) { f.files = map[string]string{chainFile: "x"} },
		"CA certificates only":    func(f *foreign) { f.cert.IsCA, f.cert.MaxPathLen, f.cert.MaxPathLenZero = false, -1, false },
		"not now": func(f *foreign) {
			f.cert.NotBefore, f.cert.NotAfter = time.Now().AddDate(-2, 0, 0), time.Now().AddDate(0, 0, -1)
		},
		"does not lead to": func(f *foreign) { f.root.NotAfter = f.root.NotAfter.AddDate(1, 0, 0); f.files = otherRoot(f) },
		"not of trust domain": func(f *foreign) {
			f.cert.URIs = []*url.URL{{Scheme: "spiffe", Host: "other.example", Path: "/ns/a/sa/b"}}
		},
		"name constraints":        func(f *foreign) { f.cert.PermittedURIDomains = []string{"other.example"} },
		"may sign certificates":   func(f *foreign) { f.cert.KeyUsage = x509.KeyUsageDigitalSignature },
		"too short":               func(f *foreign) { f.cert.MaxPathLen, f.cert.MaxPathLenZero, f.root.MaxPathLen = -1, false, 1 },
		"incompatible key usage":  func(f *foreign) { f.cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} },
		"ECDSA P-256":             func(f *foreign) { f.key = p224 },
		"Ensign imports one root": func(f *foreign) { f.files = map[string]string{rootFile: twoRoots(f)} },
		"root and issuer in one": func(f *foreign) {
			f.root.MaxPathLen, f.root.MaxPathLenZero, f.root.SubjectKeyId, f.key = 0, true, []byte{1}, f.rootKey
			root, err := create(f.root, f.root, f.rootKey.Public(), f.rootKey)
			if err != nil {
				panic(err)
			}
			text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
			f.files = map[string]string{caCertFile: text, chainFile: text, rootFile: text}
		},
		"is not signed by itself": func(f *foreign) { f.files = map[string]string{rootFile: intermediate(f)} },
	} {
		f := newForeign()
		edit(f)
		i := newImports(t, f.write(t))
		if _, err := i.first(t); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("got %v, want %q in it", err, says)
		}
		if _, err := i.keys.ReadKey("root-imported"); err == nil || len(i.ledger.Entries(ca.KindRoot)) != 0 {
			t.Errorf("%s: its key was sealed, or its root recorded", says)
		}
	}
}

func selfSigned(f *foreign, serial int64) string {
	template := *f.root
	template.SerialNumber = big.NewInt(serial)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template.SignatureAlgorithm = 0
	cert, err := create(&template, &template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func otherRoot(f *foreign) map[string]string {
	return map[string]string{rootFile: selfSigned(f, 5), chainFile: selfSigned(f, 6)}
}

func twoRoots(f *foreign) string { return selfSigned(f, 5) + selfSigned(f, 6) }

func intermediate(f *foreign) string {
	cert, err := create(f.cert, f.root, f.key.Public(), f.rootKey)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func TestImportIntoTheWrongPlace(t *testing.T) {
	folder := newForeign().write(t)
	t.Run("others may read the key", func(t *testing.T) {
		open := newForeign().write(t)
		if err := os.Chmod(filepath.Join(open, caKeyFile), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := newImports(t, open).first(t); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Error(err)
		}
	})
	t.Run("a mesh with a root", func(t *testing.T) {
		p, i := newPlace(t), newImports(t, folder)
		p.open(t)
		i.ImportConfig.Ledger = p.ledger
		if _, err := i.first(t); !errors.Is(err, ErrOtherRoot) {
			t.Error(err)
		}
	})
	t.Run("after another one", func(t *testing.T) {
		i := newImports(t, folder)
		if _, err := i.keys.EnsureKey("root-imported", newKey); err != nil {
			t.Fatal(err)
		}
		if _, err := i.first(t); err == nil || !strings.Contains(err.Error(), "another CA was imported") {
			t.Error(err)
		}
	})
	t.Run("no folder", func(t *testing.T) {
		if _, err := newImports(t, "").first(t); err == nil || !strings.Contains(err.Error(), "--import-ca") {
			t.Error(err)
		}
	})
	i := newImports(t, folder)
	root, err := i.first(t)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := NewImported(i.ImportConfig)
	if _, err := p.Make(t.Context(), "ensign-one"); err == nil {
		t.Error("it made a root")
	}
	for says, open := range map[string]func() (rotation.Root, error){
		"no imported CA": func() (rotation.Root, error) { return p.Open(t.Context(), "ensign-one", root.Chain()) },
		"is another's":   func() (rotation.Root, error) { return p.Open(t.Context(), "imported", root.Chain()[1:]) },
		"restore the key folder": func() (rotation.Root, error) {
			return (&Imported{cfg: newImports(t, "").ImportConfig}).Open(t.Context(), "imported", root.Chain())
		},
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	key, _ := x509.MarshalPKCS8PrivateKey(istioKeys()[0])
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	f.Add([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := parseKey(text); (key == nil) == (err == nil) {
			t.Errorf("%v, %v", key, err)
		}
		_, _ = parseCertificates(text)
	})
}
