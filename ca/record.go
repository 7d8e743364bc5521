package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

// CertificateEntry is the ledger entry of a certificate: everything that can be
// read from the certificate itself.
func CertificateEntry(kind EntryKind, cert, issuer *x509.Certificate, now time.Time) Entry {
	return Entry{
		Kind:          kind,
		Time:          now,
		Certificate:   Fingerprint(cert),
		Serial:        cert.SerialNumber.Text(16),
		Key:           hexSum(cert.RawSubjectPublicKeyInfo),
		Subject:       cert.Subject.String(),
		IssuerSubject: cert.Issuer.String(),
		IssuerSerial:  issuer.SerialNumber.Text(16),
		NotBefore:     cert.NotBefore,
		NotAfter:      cert.NotAfter,
	}
}

// svidEntry adds who asked, with which proof, from where.
func svidEntry(leaf, issuer *x509.Certificate, r Request, now time.Time) Entry {
	e := CertificateEntry(KindSVID, leaf, issuer, now)
	e.SPIFFEID = r.Caller.Account.String()
	e.Proof = string(r.Caller.Proof)
	e.TokenID, e.ProofSerial = r.Caller.TokenID, r.Caller.Serial
	e.Pod, e.PodUID, e.Node = r.Caller.Pod, r.Caller.PodUID, r.Caller.Node
	e.Requester = r.RemoteAddr
	e.AccountUID, e.TokenAt = r.Caller.AccountUID, r.Caller.TokenAt
	e.KeyAlgorithm = keyAlgorithm(r.CSR.key)
	if r.Caller.Proof == identity.ProofToken {
		e.TokenAt = now
	}
	return e
}

// Fingerprint names a certificate as [Entry].Certificate does.
func Fingerprint(cert *x509.Certificate) string { return hexSum(cert.Raw) }

// KeyFingerprint names a public key as [Entry].Key does.
func KeyFingerprint(key crypto.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding public key: %w", err)
	}
	return hexSum(spki), nil
}

// keyAlgorithm names a key as [Entry].KeyAlgorithm does.
func keyAlgorithm(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
