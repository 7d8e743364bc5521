package upstream

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

var (
	_ rotation.Place = (*Builtin)(nil)
	_ rotation.Place = (*Imported)(nil)
	_ rotation.First = (*Builtin)(nil).First
	_ rotation.First = (*Imported)(nil).First
)

func (p place) builtin(t *testing.T) *Builtin {
	t.Helper()
	b, err := NewBuiltin(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func made(t *testing.T, r rotation.Root, err error) rotation.Root {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// certify has a root sign an issuer.
func certify(t *testing.T, r rotation.Root) ([]*x509.Certificate, error) {
	t.Helper()
	now := time.Now()
	return r.CertifyIssuer(t.Context(), ca.IssuerRequest{PublicKey: catest.NewKey(t).Public(), Template: &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0), BasicConstraintsValid: true,
		IsCA: true, MaxPathLenZero: true, PermittedURIDomains: []string{"cluster.local"}, KeyUsage: x509.KeyUsageCertSign,
	}})
}

func TestRootsStandBesideOneAnother(t *testing.T) {
	p := newPlace(t)
	b := p.builtin(t)
	name, first, err := b.First(t.Context())
	if err != nil || name != "root" {
		t.Fatal(name, err)
	}
	second := made2(t, b, "ensign-one")
	third := made2(t, b, "ensign-two")
	all := map[string]rotation.Root{"root": first, "ensign-one": second, "ensign-two": third}
	for name, root := range all {
		again := func() rotation.Root {
			r, err := p.builtin(t).Open(t.Context(), name, root.Chain())
			return made(t, r, err)
		}()
		chain, err := certify(t, again)
		if err != nil || len(chain) != 1 || chain[0].CheckSignatureFrom(root.Chain()[0]) != nil || chain[0].NotAfter.After(root.Chain()[0].NotAfter) {
			t.Errorf("%s: issuer %v, %v", name, chain, err)
		}
		for other, r := range all {
			if other != name && chain[0].CheckSignatureFrom(r.Chain()[0]) == nil {
				t.Errorf("%s and %s have one key", name, other)
			}
		}
	}
	if b.Healthy("root") != nil {
		t.Error("not healthy")
	}
	if n := len(p.ledger.Entries(ca.KindRoot)); n != 1 || p.has("bundle.pem") {
		t.Errorf("ledger holds %d roots; bundle.pem: %v: both are the manager's", n, p.has("bundle.pem"))
	}
}

func made2(t *testing.T, b *Builtin, name string) rotation.Root {
	t.Helper()
	r, err := b.Make(t.Context(), name)
	return made(t, r, err)
}

// TestRequest: who asks for a link holds the key, and asks for the root's own name.
func TestRequest(t *testing.T) {
	r := made2(t, newPlace(t).builtin(t), "ensign-one")
	der, err := r.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || string(csr.RawSubject) != string(r.Chain()[0].RawSubject) ||
		!csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(r.Chain()[0].PublicKey) {
		t.Errorf("request %+v, %v", csr, err)
	}
}

var errDead = errors.New("the process died here")

// mortal is everything around a process that dies at its nth step, before or after
// that had an effect.
type mortal struct {
	KeyStore
	ca.IssuerStore
	Ledger
	steps, at int
	after     bool
}

func (m *mortal) step(act func() error) error {
	m.steps++
	if m.steps != m.at {
		return act()
	}
	if m.after {
		if err := act(); err != nil {
			return err
		}
	}
	return errDead
}

// TestCrashWhileMaking: wherever the process dies, the next one has one root.
func TestCrashWhileMaking(t *testing.T) {
	for _, after := range []bool{false, true} {
		p := newPlace(t)
		dying := p.Config
		m := &mortal{KeyStore: p.Keys, Ledger: p.ledger, at: 1, after: after}
		dying.Keys = m
		dead := place{Config: dying}
		if _, err := dead.builtin(t).Make(t.Context(), "ensign-one"); !errors.Is(err, errDead) {
			t.Fatal(err)
		}
		if p.has("root-ensign-one.pem") {
			t.Error("a certificate is there without its key")
		}
		if _, err := p.Keys.ReadKey("root-ensign-one"); (err == nil) != after {
			t.Errorf("key: %v", err)
		}
		// It dies while the certificate is written.
		overwrite(t, filepath.Join(p.Dir, ".root-ensign-one.pem.unfinished-1"), "half")
		first := made2(t, p.builtin(t), "ensign-one")
		if p.has(".root-ensign-one.pem.unfinished-1") {
			t.Error("what the crash left is still there")
		}
		// It dies before anybody hears of the root.
		if again := made2(t, p.builtin(t), "ensign-one"); !again.Chain()[0].Equal(first.Chain()[0]) {
			t.Error("another root was made under one name")
		}
	}
}

func TestRootsThatCannotBeMadeOrOpened(t *testing.T) {
	p := newPlace(t)
	b := p.builtin(t)
	for _, name := range []string{"", "root", "../x", "UPPER", strings.Repeat("a", 41), "a/b", "-a"} {
		if _, err := b.Make(t.Context(), name); err == nil {
			t.Errorf("%q was made", name)
		}
	}
	one, two := made2(t, b, "ensign-one"), made2(t, b, "ensign-two")
	for says, open := range map[string]func() (rotation.Root, error){
		"do not belong together": func() (rotation.Root, error) { return b.Open(t.Context(), "ensign-one", two.Chain()) },
		"restore the key folder": func() (rotation.Root, error) { return b.Open(t.Context(), "ensign-new", two.Chain()) },
		"chain of 2": func() (rotation.Root, error) {
			return b.Open(t.Context(), "ensign-one", append(one.Chain(), two.Chain()...))
		},
		"no name": func() (rotation.Root, error) { return b.Open(t.Context(), "../root", one.Chain()) },
		"its key is not": func() (rotation.Root, error) {
			remove(t, p.Dir, "keys/root-ensign-two.key")
			return b.Make(t.Context(), "ensign-two")
		},
		// The ledger has had another certificate of this key: it is not made anew.
		ErrLost.Error(): func() (rotation.Root, error) {
			cert := one.Chain()[0]
			if _, err := p.ledger.Append(t.Context(), ca.CertificateEntry(ca.KindRoot, cert, cert, time.Now())); err != nil {
				t.Fatal(err)
			}
			remove(t, p.Dir, "root-ensign-one.pem")
			return b.Make(t.Context(), "ensign-one")
		},
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
	}
}

// TestAnExpiredRootIsOpenedAndSignsNothing: so that ensignd starts, and can be told to
// rotate.
func TestAnExpiredRootIsOpenedAndSignsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		chain := made2(t, p.builtin(t), "ensign-one").Chain()
		time.Sleep(time.Until(chain[0].NotAfter))
		r, err := p.builtin(t).Open(t.Context(), "ensign-one", chain)
		if _, err := certify(t, made(t, r, err)); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %v", err)
		}
	})
}

// manager is what keeps roots, with all that this place has.
func (p place) manager(t *testing.T) *rotation.Manager {
	t.Helper()
	m, err := rotation.Open(t.Context(), rotation.Config{
		TrustDomain: p.TrustDomain, Ledger: p.ledger, Places: map[string]rotation.Place{rotation.Builtin: p.builtin(t)},
		FirstPlace: rotation.Builtin, First: p.builtin(t).First, Dir: p.Dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAnOldDataFolder is one that was made before roots could be rotated.
func TestAnOldDataFolder(t *testing.T) {
	p := newPlace(t)
	before := p.open(t)
	bundle, err := ca.NewBundle(before) // as then: root.pem, key `root`, bundle.pem
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, filepath.Join(p.Dir, "bundle.pem"), bundle.PEM())
	name, root, err := p.builtin(t).First(t.Context())
	if err != nil || name != "root" || len(root.Chain()) != 1 || !root.Chain()[0].Equal(before) {
		t.Fatalf("%s, %v", name, err)
	}
	if m := p.manager(t); !m.Signing().Equal(before) {
		t.Fatal("the manager adopts another root")
	}
	if after, err := os.ReadFile(filepath.Join(p.Dir, "bundle.pem")); err != nil || string(after) != bundle.PEM() {
		t.Errorf("bundle.pem changed: %v", err)
	}
}

func (m *mortal) EnsureKey(name string, generate func() (crypto.Signer, error)) (key crypto.Signer, err error) {
	err = m.step(func() (err error) { key, err = m.KeyStore.EnsureKey(name, generate); return err })
	return key, err
}

func (m *mortal) SaveIssuer(i ca.StoredIssuer) error {
	return m.step(func() error { return m.IssuerStore.SaveIssuer(i) })
}

func (m *mortal) Append(ctx context.Context, e ca.Entry) (index uint64, err error) {
	err = m.step(func() (err error) { index, err = m.Ledger.Append(ctx, e); return err })
	return index, err
}
