package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

const reviewsID = "spiffe://cluster.local/ns/shop/sa/reviews"

func TestParseCSRAccepts(t *testing.T) {
	p256 := catest.NewKey(t)
	for name, c := range map[string]struct {
		text []byte
		uri  string
	}{
		"p256":          {catest.CSR(t, p256), ""},
		"p384":          {catest.CSR(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), ""},
		"ed25519":       {catest.CSR(t, must(newEd25519())), ""},
		"rsa2048":       {catest.CSR(t, rsaKey(t, 2048)), ""},
		"own uri":       {catest.CSR(t, p256, reviewsID), reviewsID},
		"subject of O":  {catest.CSRFrom(t, p256, &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"anything"}}}), ""},
		"white space":   {append([]byte("\n  "), append(catest.CSR(t, p256), " \n\t"...)...), ""},
		"no newline":    {bytes.TrimSpace(catest.CSR(t, p256)), ""},
		"sha512 digest": {catest.CSRFrom(t, p256, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA512}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			csr, err := ca.ParseCSR(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if csr.URI() != c.uri || csr.PublicKey() == nil {
				t.Fatalf("got uri %q, key %v", csr.URI(), csr.PublicKey())
			}
		})
	}
}

func TestParseCSRRefuses(t *testing.T) {
	key := catest.NewKey(t)
	good := catest.CSR(t, key)
	der := must(pemBytes(good))
	uri := must(url.Parse(reviewsID))
	from := func(r *x509.CertificateRequest) []byte { return catest.CSRFrom(t, key, r) }
	bigRSA := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16384, 1), E: 65537}
	for name, c := range map[string]struct {
		text []byte
		want ca.Reason
	}{
		"nothing":               {nil, ca.ReasonMalformed},
		"garbage":               {[]byte("hello"), ca.ReasonMalformed},
		"1 MiB of garbage":      {bytes.Repeat([]byte{0xff}, 1<<20), ca.ReasonTooLarge},
		"1 MiB of PEM":          {bytes.Repeat(good, 1<<20/len(good)), ca.ReasonTooLarge},
		"other block":           {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ca.ReasonMalformed},
		"headers":               {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Headers: map[string]string{"a": "b"}, Bytes: der}), ca.ReasonMalformed},
		"two blocks":            {append(bytes.Clone(good), good...), ca.ReasonTrailing},
		"text behind":           {append(bytes.Clone(good), "tail"...), ca.ReasonTrailing},
		"text before":           {append([]byte("head\n"), good...), ca.ReasonTrailing},
		"bytes behind the DER":  {catest.PEM(append(bytes.Clone(der), 0, 0)), ca.ReasonTrailing},
		"half of it":            {catest.PEM(der[:len(der)/2]), ca.ReasonMalformed},
		"p224":                  {catest.CSR(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))), ca.ReasonKeyAlgorithm},
		"p521":                  {catest.CSR(t, must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))), ca.ReasonKeyAlgorithm},
		"rsa 1024":              {unsigned(t, &rsaKey(t, 1024).PublicKey), ca.ReasonWeakKey},
		"rsa 2040":              {unsigned(t, &rsaKey(t, 2040).PublicKey), ca.ReasonWeakKey},
		"rsa 16384":             {unsigned(t, bigRSA), ca.ReasonWeakKey},
		"rsa even modulus":      {unsigned(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}), ca.ReasonWeakKey},
		"rsa exponent 3":        {unsigned(t, &rsa.PublicKey{N: rsaKey(t, 2048).N, E: 3}), ca.ReasonWeakKey},
		"sha1":                  {relabelled(t, der), ca.ReasonSignatureAlgorithm},
		"signature of another":  {resigned(t, der, catest.NewKey(t)), ca.ReasonSignature},
		"dns name":              {from(&x509.CertificateRequest{DNSNames: []string{"reviews"}}), ca.ReasonForeignName},
		"dns beside uri":        {from(&x509.CertificateRequest{DNSNames: []string{"reviews"}, URIs: []*url.URL{uri}}), ca.ReasonForeignName},
		"email":                 {from(&x509.CertificateRequest{EmailAddresses: []string{"a@b.c"}}), ca.ReasonForeignName},
		"ip":                    {from(&x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}), ca.ReasonForeignName},
		"two uris":              {from(&x509.CertificateRequest{URIs: []*url.URL{uri, uri}}), ca.ReasonForeignName},
		"other name beside uri": {from(withExtensions(sanOf(t, uriName(reviewsID), otherName()))), ca.ReasonForeignName},
		"directory name":        {from(withExtensions(sanOf(t, asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: []byte{0x30, 0}}))), ca.ReasonForeignName},
		"empty san":             {from(withExtensions(sanOf(t))), ca.ReasonForeignName},
		"empty uri":             {from(withExtensions(sanOf(t, uriName("")))), ca.ReasonForeignName},
		"is a ca":               {from(withExtensions(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}})), ca.ReasonExtension},
		"key usage":             {from(withExtensions(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 2, 4}})), ca.ReasonExtension},
		"key usage beside san":  {from(withExtensions(sanOf(t, uriName(reviewsID)), pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 2, 4}})), ca.ReasonExtension},
		"unknown extension":     {from(withExtensions(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}})), ca.ReasonExtension},
		"challenge password":    {withAttribute(t, key, 7), ca.ReasonAttribute},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := ca.ParseCSR(c.text)
			var refused *ca.CSRError
			if !errors.As(err, &refused) {
				t.Fatalf("error %v is no CSRError", err)
			}
			if refused.Reason != c.want || refused.Detail == "" {
				t.Fatalf("refused for %s (%s), want %s", refused.Reason, refused.Detail, c.want)
			}
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Fatalf("refusing took %s", took)
			}
		})
	}
}

func FuzzParseCSR(f *testing.F) {
	key := catest.NewKey(f)
	f.Add(catest.CSR(f, key))
	f.Add(catest.CSR(f, key, reviewsID))
	f.Add(catest.CSRFrom(f, key, &x509.CertificateRequest{DNSNames: []string{"a"}}))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		csr, err := ca.ParseCSR(text)
		var refused *ca.CSRError
		switch {
		case err != nil && (!errors.As(err, &refused) || csr.PublicKey() != nil):
			t.Fatalf("untyped refusal %v, or a key beside it", err)
		case err == nil && csr.PublicKey() == nil:
			t.Fatal("accepted without a key")
		case err == nil && len(text) > ca.MaxCSRSize:
			t.Fatal("accepted over the limit")
		}
	})
}

// requestForm is CertificationRequest, for requests that x509 would not make.
type requestForm struct {
	Info      asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

var ecdsaSHA256 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}

// unsigned is a request for a key that cannot sign here; its signature is nonsense.
func unsigned(t *testing.T, key crypto.PublicKey) []byte {
	info := must(asn1.Marshal(struct {
		Version    int
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Attributes asn1.RawValue
	}{
		Subject:    asn1.RawValue{FullBytes: []byte{0x30, 0}},
		Key:        asn1.RawValue{FullBytes: must(x509.MarshalPKIXPublicKey(key))},
		Attributes: asn1.RawValue{FullBytes: []byte{0xa0, 0}},
	}))
	return assemble(t, info, ecdsaSHA256, []byte{1, 2, 3})
}

// withAttribute is a well-signed request with an attribute of PKCS#9.
func withAttribute(t *testing.T, key *ecdsa.PrivateKey, kind int) []byte {
	attr := must(asn1.Marshal(struct {
		ID     asn1.ObjectIdentifier
		Values []string `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, kind}, []string{"secret"}}))
	info := must(asn1.Marshal(struct {
		Version    int
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Attributes asn1.RawValue
	}{
		Subject:    asn1.RawValue{FullBytes: []byte{0x30, 0}},
		Key:        asn1.RawValue{FullBytes: must(x509.MarshalPKIXPublicKey(key.Public()))},
		Attributes: asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: attr},
	}))
	return assemble(t, info, ecdsaSHA256, signWith(t, key, info))
}

// resigned replaces the signature by that of another key.
func resigned(t *testing.T, der []byte, key *ecdsa.PrivateKey) []byte {
	var r requestForm
	must(asn1.Unmarshal(der, &r))
	return assemble(t, r.Info.FullBytes, r.Algorithm, signWith(t, key, r.Info.FullBytes))
}

// relabelled claims ECDSA with SHA-1.
func relabelled(t *testing.T, der []byte) []byte {
	var r requestForm
	must(asn1.Unmarshal(der, &r))
	sha1 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}}
	return assemble(t, r.Info.FullBytes, sha1, r.Signature.Bytes)
}

func signWith(t *testing.T, key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	return must(ecdsa.SignASN1(rand.Reader, key, sum[:]))
}

func assemble(t *testing.T, info []byte, alg pkix.AlgorithmIdentifier, signature []byte) []byte {
	return catest.PEM(must(asn1.Marshal(requestForm{
		Info: asn1.RawValue{FullBytes: info}, Algorithm: alg,
		Signature: asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})))
}

func withExtensions(e ...pkix.Extension) *x509.CertificateRequest {
	return &x509.CertificateRequest{ExtraExtensions: e}
}

func sanOf(t *testing.T, names ...asn1.RawValue) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must(asn1.Marshal(names))}
}

func uriName(uri string) asn1.RawValue { return asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(uri)} }

func otherName() asn1.RawValue {
	return asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: []byte{6, 2, 42, 3, 0xa0, 2, 5, 0}}
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }

func newEd25519() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func pemBytes(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	return block.Bytes, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
