package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// place is a data folder with all that a root needs.
type place struct {
	Config
	ledger *catest.Ledger
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	ledger := &catest.Ledger{}
	return place{Config: Config{Dir: dir, TrustDomain: catest.TrustDomain, Keys: keys, Ledger: ledger}, ledger: ledger}
}

// open is the first root's certificate.
func (p place) open(t *testing.T) *x509.Certificate {
	t.Helper()
	root, err := p.first(t)
	if err != nil {
		t.Fatal(err)
	}
	return root.Chain()[0]
}

func (p place) first(t *testing.T) (rotation.Root, error) {
	t.Helper()
	b, err := NewBuiltin(p.Config)
	if err != nil {
		return nil, err
	}
	_, root, err := b.First(t.Context())
	return root, err
}

func (p place) has(name string) bool {
	_, err := os.Stat(filepath.Join(p.Dir, name))
	return err == nil
}

func TestRootIsMadeOnceAndKept(t *testing.T) {
	p := newPlace(t)
	first := p.open(t)
	for range 3 {
		if again := p.open(t); !again.Equal(first) {
			t.Fatal("a later start made another root")
		}
	}
	if n := len(p.ledger.Entries(ca.KindRoot)); n != 1 {
		t.Errorf("ledger holds %d roots", n)
	}
	if years := time.Until(first.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("root lives for %.1f years", years)
	}
	if !first.IsCA || first.MaxPathLen != 1 || first.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("root is no CA of issuers: %+v", first)
	}
	if other := newPlace(t).open(t); other.Subject.String() == first.Subject.String() {
		t.Error("two roots share one name")
	}
}

// TestCrashAtEveryStep: whatever was done when the process died, the next start
// ends with one root, in the ledger, and leaves nothing half-made.
func TestCrashAtEveryStep(t *testing.T) {
	dead := errors.New("the process died here")
	for step, crash := range map[string]func(t *testing.T, p *place) *x509.Certificate{
		"after the key": func(t *testing.T, p *place) *x509.Certificate {
			if _, err := p.Keys.EnsureKey(firstName, func() (crypto.Signer, error) { return catest.NewKey(t), nil }); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"before the ledger has it": func(t *testing.T, p *place) *x509.Certificate {
			p.ledger.Fail(dead)
			if _, err := p.first(t); !errors.Is(err, dead) || !errors.Is(err, ca.ErrLedger) {
				t.Fatalf("an unrecorded root came into force: %v", err)
			}
			p.ledger.Fail(nil)
			if p.has("root.pem") || !p.has("root.pem.pending") {
				t.Fatal("an unrecorded root is trusted")
			}
			cert, err := readCertificate(p.pending())
			if err != nil {
				t.Fatal(err)
			}
			return cert
		},
		"before its final name": func(t *testing.T, p *place) *x509.Certificate {
			cert := p.open(t)
			if err := os.Rename(p.file(), p.pending()); err != nil {
				t.Fatal(err)
			}
			return cert
		},
	} {
		t.Run(step, func(t *testing.T) {
			p := newPlace(t)
			before := crash(t, &p)
			after := p.open(t)
			if before != nil && !before.Equal(after) {
				t.Error("the half-made root was replaced by a second one")
			}
			if !p.has("root.pem") || p.has("root.pem.pending") {
				t.Error("the root is still half-made")
			}
			for _, e := range p.ledger.Entries(ca.KindRoot) {
				if e.Serial != after.SerialNumber.Text(16) {
					t.Errorf("ledger holds another root: %+v", e)
				}
			}
			if n := len(p.ledger.Entries(ca.KindRoot)); n != 1 {
				t.Errorf("ledger holds %d roots", n)
			}
		})
	}
}

func TestBrokenDataFoldersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, p *place)
		says  string
	}{
		"key lost": {func(t *testing.T, p *place) { remove(t, p.Dir, "keys/root.key") }, "backup"},
		"key of another root": {func(t *testing.T, p *place) {
			remove(t, p.Dir, "keys/root.key")
			if _, err := p.Keys.EnsureKey(firstName, func() (crypto.Signer, error) { return catest.NewKey(t), nil }); err != nil {
				t.Fatal(err)
			}
		}, "do not belong together"},
		"certificate cut short":  {func(t *testing.T, p *place) { overwrite(t, p.file(), "-----BEGIN CERT") }, "root.pem"},
		"certificate file empty": {func(t *testing.T, p *place) { overwrite(t, p.file(), "") }, "root.pem"},
		"two certificates": {func(t *testing.T, p *place) {
			text, _ := os.ReadFile(p.file())
			other, _ := os.ReadFile(newOpened(t).file())
			overwrite(t, p.file(), string(text)+string(other))
		}, "2 certificates"},
		"other trust domain": {func(t *testing.T, p *place) {
			p.TrustDomain = spiffeid.RequireTrustDomainFromString("other.example")
		}, "belongs to trust domain"},
		"no ledger": {func(t *testing.T, p *place) { p.Ledger = nil }, "needs"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOpened(t)
			c.spoil(t, &p)
			if _, err := p.first(t); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
			if n := len(p.ledger.Entries(ca.KindRoot)); n != 1 {
				t.Errorf("ledger holds %d roots", n)
			}
		})
	}
}

// TestRootAndLedgerTellOneStory: what was deleted is noticed, and what a person is
// told to do mends it.
func TestRootAndLedgerTellOneStory(t *testing.T) {
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, p *place)
		want  error
		mend  func(t *testing.T, p *place)
	}{
		"ledger wiped": {func(_ *testing.T, p *place) { p.ledger.Wipe() }, ErrUnrecorded,
			func(t *testing.T, p *place) { rename(t, p.file(), p.pending()) }},
		"ledger of another mesh": {func(t *testing.T, p *place) {
			other := newOpened(t)
			p.ledger, p.Ledger = other.ledger, other.ledger
		}, ErrUnrecorded, func(t *testing.T, p *place) { rename(t, p.file(), p.pending()) }},
		"root.pem deleted": {func(t *testing.T, p *place) { remove(t, p.Dir, "root.pem") }, ErrLost,
			func(t *testing.T, p *place) { rename(t, p.bundleFile(), p.file()) }},
		"another certificate pending": {func(t *testing.T, p *place) {
			other := newPlace(t)
			other.Keys = p.Keys
			other.open(t)
			remove(t, p.Dir, "root.pem")
			rename(t, other.file(), p.pending())
		}, ErrLost, func(t *testing.T, p *place) { rename(t, p.bundleFile(), p.file()) }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			before := p.open(t)
			bundle, err := ca.NewBundle(before)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, p.bundleFile(), bundle.PEM()) // as the manager does
			c.spoil(t, &p)
			if _, err := p.first(t); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "restore") {
				t.Fatalf("got %v, want %v and the way out", err, c.want)
			}
			c.mend(t, &p)
			if after := p.open(t); !after.Equal(before) {
				t.Error("mending changed the root")
			}
		})
	}
}

// TestANewMeshInAnOldFolder: who moves key and certificate away begins again, as
// the refusal of a lost key says.
func TestANewMeshInAnOldFolder(t *testing.T) {
	p := newOpened(t)
	remove(t, p.Dir, "keys/root.key")
	remove(t, p.Dir, "root.pem")
	p.ledger.Fail(errors.New("the process died here"))
	if _, err := p.first(t); !errors.Is(err, ca.ErrLedger) {
		t.Fatal(err)
	}
	p.ledger.Fail(nil)
	p.open(t)
	if n := len(p.ledger.Entries(ca.KindRoot)); n != 2 {
		t.Errorf("ledger holds %d roots", n)
	}
}

func newOpened(t *testing.T) place {
	t.Helper()
	p := newPlace(t)
	p.open(t)
	return p
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedPendingRootIsNotReplaced(t *testing.T) {
	p := newPlace(t)
	overwrite(t, p.pending(), "half")
	if _, err := p.first(t); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestIssuersOfTheBuiltinRoot goes through package ca, which checks them.
func TestIssuersOfTheBuiltinRoot(t *testing.T) {
	p := newPlace(t)
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.New(t.Context(), ca.Config{TrustDomain: p.TrustDomain, Profile: profile, Upstream: p.manager(t), Ledger: p.ledger})
	if err != nil {
		t.Fatal(err)
	}
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	if _, err := service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr}); err != nil {
		t.Fatal(err)
	}
	issuers := p.ledger.Entries(ca.KindIssuer)
	roots := p.ledger.Entries(ca.KindRoot)
	if len(issuers) != 1 || len(roots) != 1 || issuers[0].IssuerSerial != roots[0].Serial || issuers[0].IssuerSubject != roots[0].Subject {
		t.Errorf("ledger: issuers %+v of roots %+v", issuers, roots)
	}
}

func TestRootSignsLimitedIssuersOnly(t *testing.T) {
	b, err := newPlace(t).first(t)
	if err != nil {
		t.Fatal(err)
	}
	limited := x509.Certificate{IsCA: true, MaxPathLenZero: true, PermittedURIDomains: []string{"cluster.local"}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(c *x509.Certificate){
		"a leaf":          func(c *x509.Certificate) { c.IsCA = false },
		"further CAs":     func(c *x509.Certificate) { c.MaxPathLenZero = false },
		"every domain":    func(c *x509.Certificate) { c.PermittedURIDomains = nil },
		"nothing to sign": nil,
	} {
		request := ca.IssuerRequest{PublicKey: key.Public()}
		if edit != nil {
			template := limited
			edit(&template)
			request.Template = &template
		}
		if chain, err := b.CertifyIssuer(t.Context(), request); err == nil {
			t.Errorf("%s: the root signed %v", name, chain)
		}
	}
}

func TestAnExpiredFirstRootIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		time.Sleep(time.Until(p.open(t).NotAfter))
		if _, err := p.first(t); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an expired root was adopted: %v", err)
		}
	})
}
