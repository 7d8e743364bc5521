package ca

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// expectation is what a leaf must hold, gathered before anything is signed.
type expectation struct {
	san                 []byte // DER of the whole SAN extension
	usages              []x509.ExtKeyUsage
	key                 crypto.PublicKey
	spki                []byte // DER of key
	serial              *big.Int
	notBefore, notAfter time.Time
	now                 time.Time
	longest             time.Duration
	issuer              *x509.Certificate
	keyUsage            x509.KeyUsage
	serialBits          int           // of the longest serial
	slack               time.Duration // that the start may be earlier than now less Backdate
	keyIdentified       bool          // with a subject key identifier
}

// check is one rule for leaves.
type check struct {
	name string
	// run says what is wrong; "" if nothing is.
	run func(c *x509.Certificate, want expectation) string
}

// leafChecks run in this order, on the throwaway copy and on what was signed.
var leafChecks = []check{
	{"version", checkVersion},
	{"serial", checkSerial},
	{"names", checkNames},
	{"key", checkLeafKey},
	{"validity", checkValidity},
	{"key_usage", checkKeyUsage},
	{"extended_key_usage", checkExtKeyUsage},
	{"basic_constraints", checkBasicConstraints},
	{"issuer", checkIssuedBy},
	{"extensions", checkExtensions},
}

// lintLeaf runs all checks; the error is a *LintError that names the first that failed.
func lintLeaf(c *x509.Certificate, want expectation) error {
	for _, rule := range leafChecks {
		if detail := rule.run(c, want); detail != "" {
			return &LintError{Check: rule.name, Detail: detail}
		}
	}
	return nil
}

func checkVersion(c *x509.Certificate, _ expectation) string {
	if c.Version != 3 {
		return "not X.509 version 3"
	}
	return ""
}

// checkSerial also catches a broken random source: 64 leading zero bits of 128
// come up once in 2^64.
func checkSerial(c *x509.Certificate, want expectation) string {
	switch {
	case c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > want.serialBits:
		return fmt.Sprintf("serial is not a positive number of %d bits", want.serialBits)
	case c.SerialNumber.BitLen() < serialBits/2:
		return "serial is too small to be random"
	case c.SerialNumber.Cmp(want.serial) != 0:
		return "serial is not the one prepared"
	}
	return ""
}

// checkNames compares the SAN byte by byte: no parser's leniency is left in it.
func checkNames(c *x509.Certificate, want expectation) string {
	if len(c.Subject.Names) != 0 {
		return "subject is not empty"
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			if !bytes.Equal(e.Value, want.san) {
				return "SAN is not exactly what the caller may be called"
			}
			return ""
		}
	}
	return "no SAN"
}

func checkLeafKey(c *x509.Certificate, want expectation) string {
	if err := checkKey(c.PublicKey); err != nil {
		return err.Error()
	}
	if !bytes.Equal(c.RawSubjectPublicKeyInfo, want.spki) {
		return "key is not the one of the request"
	}
	if samePublicKey(c.PublicKey, want.issuer.PublicKey) {
		return "key is the issuer's own"
	}
	return ""
}

func checkValidity(c *x509.Certificate, want expectation) string {
	switch {
	case !c.NotBefore.Equal(want.notBefore) || !c.NotAfter.Equal(want.notAfter):
		return "window is not the one prepared"
	case c.NotBefore.After(want.now) || !c.NotAfter.After(want.now):
		return "not valid now"
	case c.NotBefore.Before(want.issuer.NotBefore) || c.NotAfter.After(want.issuer.NotAfter):
		return "window leaves the issuer's"
	case c.NotAfter.Sub(want.now) > want.longest || want.now.Sub(c.NotBefore) > Backdate+want.slack:
		return "window is longer than the profile allows"
	}
	return ""
}

func checkKeyUsage(c *x509.Certificate, want expectation) string {
	if c.KeyUsage != want.keyUsage {
		return "key usage is not that of a leaf"
	}
	return ""
}

func checkExtKeyUsage(c *x509.Certificate, want expectation) string {
	if !slices.Equal(c.ExtKeyUsage, want.usages) || len(c.UnknownExtKeyUsage) != 0 {
		return "extended key usage is not exactly what is due"
	}
	return ""
}

func checkBasicConstraints(c *x509.Certificate, _ expectation) string {
	if !c.BasicConstraintsValid || c.IsCA || c.MaxPathLen > 0 || c.MaxPathLenZero {
		return "leaf is not marked as no CA"
	}
	return ""
}

func checkIssuedBy(c *x509.Certificate, want expectation) string {
	switch {
	case !bytes.Equal(c.RawIssuer, want.issuer.RawSubject):
		return "issuer name is not the issuer's subject"
	case len(c.AuthorityKeyId) == 0 || !bytes.Equal(c.AuthorityKeyId, want.issuer.SubjectKeyId):
		return "authority key ID is not the issuer's"
	case c.SignatureAlgorithm != algorithmOf(want.issuer):
		return "signature algorithm is not the issuer's"
	}
	return ""
}

// checkExtensions demands exactly these, each once, as critical as it should be.
func checkExtensions(c *x509.Certificate, want expectation) string {
	critical := map[string]bool{
		"2.5.29.15": true,  // key usage
		"2.5.29.37": false, // extended key usage
		"2.5.29.19": true,  // basic constraints
		"2.5.29.35": false, // authority key identifier
		"2.5.29.17": true,  // SAN: critical since the subject is empty (RFC 5280 §4.2.1.6)
	}
	if want.keyIdentified {
		critical["2.5.29.14"] = false // subject key identifier
	}
	for _, e := range c.Extensions {
		id := e.Id.String()
		if want, known := critical[id]; !known || e.Critical != want {
			return "extension " + id + " is not allowed, is there twice, or has the wrong criticality"
		}
		delete(critical, id)
	}
	if len(critical) != 0 {
		return "an extension is missing"
	}
	return ""
}

// leafKeyUsage adds key encipherment for RSA, which older TLS 1.2 peers ask of it. A
// remote has one usage for all keys.
func (i *issuer) leafKeyUsage(key crypto.PublicKey) x509.KeyUsage {
	if _, ok := key.(*rsa.PublicKey); ok && i.remote == nil {
		return x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	return x509.KeyUsageDigitalSignature
}
