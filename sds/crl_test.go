package sds

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

func withExtension(id ...int) func(*x509.RevocationList) {
	return func(list *x509.RevocationList) {
		list.ExtraExtensions = []pkix.Extension{{Id: id, Critical: true, Value: []byte{5, 0}}}
	}
}

func withEntryExtension(id ...int) func(*x509.RevocationList) {
	return func(list *x509.RevocationList) {
		list.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: id, Value: []byte{5, 0}}}
	}
}

// TestASetOfCRLsIsTakenWholeOrNotAtAll: one that is in doubt takes the others with it.
func TestASetOfCRLsIsTakenWholeOrNotAtAll(t *testing.T) {
	a, other, now := sdstest.New(t), sdstest.New(t), time.Now()
	later, serials := now.Add(time.Hour), []*big.Int{big.NewInt(7)}
	good := a.CRL(t, 1, later, serials, nil)
	for name, bad := range map[string]struct {
		crl     []byte
		problem string
	}{
		"empty":           {nil, "malformed"},
		"garbage":         {[]byte("no CRL at all"), "malformed"},
		"cut off":         {good[:len(good)-1], "malformed"},
		"something added": {append(bytes.Clone(good), 0), "1 bytes too many"},
		"a certificate":   {a.Issuer.Raw, "x509"},
		"expired":         {a.CRL(t, 1, now, serials, nil), "ends at"},
		"of tomorrow": {a.CRL(t, 1, now.Add(48*time.Hour), serials, func(l *x509.RevocationList) {
			l.ThisUpdate = now.Add(24 * time.Hour)
		}), "begins at"},
		"unknown extension":      {a.CRL(t, 1, later, serials, withExtension(1, 2, 3)), "extension 1.2.3"},
		"delta":                  {a.CRL(t, 1, later, serials, withExtension(2, 5, 29, 27)), "extension 2.5.29.27"},
		"unknown extension of 7": {a.CRL(t, 1, later, serials, withEntryExtension(2, 5, 29, 29)), "extension 2.5.29.29"},
		"2 MiB":                  {make([]byte, 2<<20), "at most 256 of at most 1048576 are taken"},
	} {
		// The two authorities have one name, which real issuers never have: only one
		// list at a time.
		set := newCRLSet(3, [][]byte{bad.crl}, now)
		if set.problem == "" || !strings.Contains(set.problem, bad.problem) || len(set.lists) > 0 || set.version != "" || set.revision != 3 {
			t.Errorf("%s: problem %q (want %q), %d lists", name, set.problem, bad.problem, len(set.lists))
		}
	}
	for name, lists := range map[string][][]byte{
		"twice one issuer": {good, other.CRL(t, 1, later, nil, nil)}, "one of two broken": {good, []byte("x")}, "too many": make([][]byte, 257),
	} {
		if set := newCRLSet(3, lists, now); set.problem == "" || len(set.lists) > 0 || set.pem() != nil {
			t.Errorf("%s: %+v", name, set)
		}
	}
	if set := newCRLSet(3, [][]byte{good}, now); set.problem != "" || len(set.lists) != 1 || !set.ends.Equal(later.Truncate(time.Second).Add(-crlMargin)) ||
		!strings.HasPrefix(string(set.pem()), "-----BEGIN X509 CRL-----") {
		t.Errorf("a good one: %+v", set)
	}
}

func TestACRLIsHeldAgainstTheIssuersThatWeKnow(t *testing.T) {
	a, impostor, now := sdstest.New(t), sdstest.New(t), time.Now()
	set := func(crl []byte) *crlSet {
		s := newCRLSet(1, [][]byte{crl}, now)
		if s.problem != "" {
			t.Fatal(s.problem)
		}
		return s
	}
	good := set(a.CRL(t, 1, now.Add(time.Hour), nil, nil))
	forged := set(impostor.CRL(t, 1, now.Add(time.Hour), nil, nil)) // same name, another key
	if err := good.contradicted([]*x509.Certificate{a.Issuer, a.Root}); err != nil {
		t.Error(err)
	}
	if err := forged.contradicted([]*x509.Certificate{a.Issuer, a.Root}); err == nil {
		t.Error("a forged CRL passes")
	}
	if err := forged.contradicted([]*x509.Certificate{a.Root}); err != nil {
		t.Errorf("of an issuer that nobody knows: %v", err)
	}
	otherKey := set(a.CRL(t, 1, now.Add(time.Hour), nil, func(l *x509.RevocationList) {}))
	otherKey.lists[0].AuthorityKeyId = []byte("another key")
	if err := otherKey.contradicted([]*x509.Certificate{a.Issuer}); err == nil {
		t.Error("one that names another key passes: Envoy would not use it, and refuse everybody")
	}
}

// FuzzCRLs: a set is taken as a whole, with what Envoy needs, or not at all.
func FuzzCRLs(f *testing.F) {
	a, now := sdstest.New(f), time.Now()
	good := a.CRL(f, 1, now.Add(time.Hour), []*big.Int{big.NewInt(7)}, nil)
	f.Add(good, []byte{})
	f.Add(good, good)
	f.Add(a.Issuer.Raw, []byte{0x30, 0x80})
	spoiled, err := asn1.Marshal(struct{ A, B int }{1, 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(spoiled, good)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		set := newCRLSet(1, [][]byte{first, second}, now)
		if taken := set.problem == ""; taken != (len(set.lists) == 2) || taken != (set.version != "") || taken != (len(set.pem()) > 0) || (taken && !set.ends.After(now)) {
			t.Errorf("%+v", set)
		}
		if len(set.problem) > maxReason {
			t.Errorf("a problem of %d bytes", len(set.problem))
		}
	})
}
