package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// certifier is a certificate with its key, signed by itself or by another.
type certifier struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func certify(t *testing.T, name string, isCA bool, by *certifier) *certifier {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(serverLife),
	}
	made := &certifier{key: key, cert: template}
	if by == nil {
		by = made
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

// teacher says what to trust, as the test does.
type teacher struct{ trust *rotation.Trust }

func (s *teacher) Trust() (*rotation.Trust, <-chan struct{}) { return s.trust, nil }

func (s *teacher) teach(t *testing.T, sequence uint64, links []*x509.Certificate, roots ...*x509.Certificate) {
	t.Helper()
	bundle, err := ca.NewBundle(roots...)
	if err != nil {
		t.Fatal(err)
	}
	s.trust = &rotation.Trust{Sequence: sequence, Bundle: bundle, Root: ca.Fingerprint(roots[0]), RenewWithin: time.Minute, Links: links}
}

func TestAgentsAreTaughtOneMessage(t *testing.T) {
	a, b := certify(t, "a", true, nil), certify(t, "b", true, nil)
	roots := &teacher{}
	roots.teach(t, 3, nil, a.cert)
	told := &taught{roots: roots}
	first, _ := told.Trust()
	again, _ := told.Trust()
	if first != again || first.Sequence != 3 || len(first.Roots) != 1 || first.Root != ca.Fingerprint(a.cert) || first.RenewWithin.AsDuration() != time.Minute {
		t.Errorf("%v, %v", first, again)
	}
	roots.teach(t, 9, nil, b.cert, a.cert)
	if next, _ := told.Trust(); next == first || next.Sequence != 9 || len(next.Roots) != 2 || next.Root != ca.Fingerprint(b.cert) {
		t.Errorf("%v", next)
	}
}
