package revocation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// authority is a root and issuers with real keys, and the ledger that records them.
type authority struct {
	*world
	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey
	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey // by serial
	certs   map[string]*x509.Certificate
	// introduced are those that may sign.
	introduced map[string]bool
	// fail is what SignCRL answers; alter may spoil what it signs.
	fail  error
	alter func(*x509.RevocationList)
	signs int
	// late are the proxies that do not have the newest set.
	late []string
	dir  string
	crls *CRLs
}

func newAuthority(t testing.TB, serials ...string) *authority {
	t.Helper()
	a := &authority{world: newWorld(t), keys: map[string]*ecdsa.PrivateKey{}, certs: map[string]*x509.Certificate{}, introduced: map[string]bool{}, dir: t.TempDir()}
	a.rootKey = newKey(t)
	a.root = a.certify(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * day),
	}, nil, a.rootKey, a.rootKey)
	a.reopen()
	for _, s := range serials {
		a.introduce(s, 30*day)
	}
	return a
}

// reopen is a new process on the same ledger and folder.
func (a *authority) reopen() {
	a.t.Helper()
	a.restart()
	var err error
	a.crls, err = OpenCRLs(a.t.Context(), CRLConfig{
		Dir: a.dir, Register: a.Register, Ledger: a.memory, Signer: a, IntroduceWait: 2 * time.Second,
		Everybody: func(uint64) []string { a.mu.Lock(); defer a.mu.Unlock(); return a.late },
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// begin makes an issuer and records it.
func (a *authority) begin(serial string, life time.Duration) *x509.Certificate {
	a.t.Helper()
	return a.beginFor(serial, life, x509.KeyUsageCertSign|x509.KeyUsageCRLSign)
}

// beginFor is an issuer that may do these things.
func (a *authority) beginFor(serial string, life time.Duration, usage x509.KeyUsage) *x509.Certificate {
	a.t.Helper()
	n, _ := new(big.Int).SetString(serial, 16)
	key := newKey(a.t)
	cert := a.certify(&x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: "issuer " + serial}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: usage, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
	}, a.root, key, a.rootKey)
	a.mu.Lock()
	a.keys[serial], a.certs[serial] = key, cert
	a.mu.Unlock()
	if _, err := a.memory.Append(a.t.Context(), ca.CertificateEntry(ca.KindIssuer, cert, a.root, time.Now())); err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) introduce(serial string, life time.Duration) {
	a.t.Helper()
	if err := a.crls.Introduce(a.t.Context(), a.begin(serial, life)); err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.introduced[serial] = true
}

// Introduced implements Signer as ca.Service does.
func (a *authority) Introduced(serial string) *x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys[serial] == nil || !a.introduced[serial] {
		return nil
	}
	return a.certs[serial]
}

// SignCRL implements Signer as ca.Service does.
func (a *authority) SignCRL(serial string, number *big.Int, revoked []x509.RevocationListEntry) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, cert := a.keys[serial], a.certs[serial]
	switch {
	case a.fail != nil:
		return nil, a.fail
	case key == nil:
		return nil, fmt.Errorf("%w: issuer %s", ca.ErrIssuerKeyGone, serial)
	}
	a.signs++
	template := &x509.RevocationList{Number: number, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: cert.NotAfter.Add(ca.CRLOverlap), RevokedCertificateEntries: revoked}
	if a.alter != nil {
		a.alter(template)
	}
	return x509.CreateRevocationList(rand.Reader, template, cert, key)
}

// destroy loses an issuer's key.
func (a *authority) destroy(serial string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.keys, serial)
}

// leaf makes an SVID. One that is not logged is what a thief of the issuer's key makes.
func (a *authority) leaf(name, issuer string, logged bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	a.serial++
	id, key := account(name).ID(), newKey(a.t)
	cert := a.certify(&x509.Certificate{
		SerialNumber: big.NewInt(int64(a.serial)), URIs: []*url.URL{id.URL()}, IPAddresses: []net.IP{},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(day),
	}, a.certs[issuer], key, a.keys[issuer])
	if logged {
		e := ca.CertificateEntry(ca.KindSVID, cert, a.certs[issuer], time.Now())
		e.SPIFFEID, e.Pod, e.Proof = id.String(), name+"-1", "token"
		if _, err := a.memory.Append(a.t.Context(), e); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

func (a *authority) certify(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// refreshed is the set after the last act.
func (a *authority) refreshed() *Set {
	a.t.Helper()
	if err := a.crls.refresh(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	set, _ := a.crls.Current()
	a.sound(set)
	return set
}

// sound holds a set against the rule: all issuers that live and are not revoked, each
// with a CRL that is good to its end, or none.
func (a *authority) sound(set *Set) {
	a.t.Helper()
	if len(set.CRLs) == 0 {
		return
	}
	list, _ := a.Current()
	var want, got []string
	live, _ := a.LiveIssuers(a.t.Context(), time.Now())
	for _, i := range live {
		if !slices.ContainsFunc(list.Issuers, func(r Issuer) bool { return r.Serial == i.Entry.Serial }) {
			want = append(want, i.Entry.Subject)
		}
	}
	for _, der := range set.CRLs {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			a.t.Fatal(err)
		}
		got = append(got, crl.Issuer.String())
		for _, cert := range a.certs {
			if cert.Subject.String() == crl.Issuer.String() && (crl.CheckSignatureFrom(cert) != nil || !crl.NextUpdate.Equal(cert.NotAfter.Add(ca.CRLOverlap))) {
				a.t.Errorf("CRL of %s is not good to its end", crl.Issuer)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		a.t.Errorf("in force are the CRLs of %v, the issuers are %v", got, want)
	}
}

// serials that a set lists.
func serials(t testing.TB, set *Set) []string {
	t.Helper()
	found := []string{}
	for _, der := range set.CRLs {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range crl.RevokedCertificateEntries {
			found = append(found, e.SerialNumber.Text(16))
		}
	}
	slices.Sort(found)
	return found
}

func spoil(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
