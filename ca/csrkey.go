package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math"
	"slices"
)

// Bounds of an RSA key. Below 2048 bits it can be broken; above 8192 each check
// of it costs this CA and every peer of the workload milliseconds.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// checkKey allows exact kinds and sizes and costs nothing.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return refuse(ReasonKeyAlgorithm, "ECDSA curve %s, use P-256 or P-384", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return refuse(ReasonMalformed, "Ed25519 key of %d bytes", len(k))
		}
	case *rsa.PublicKey:
		return checkRSA(k)
	default:
		return refuse(ReasonKeyAlgorithm, "key of kind %T, use ECDSA P-256", key)
	}
	return nil
}

func checkRSA(k *rsa.PublicKey) error {
	if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return refuse(ReasonWeakKey, "RSA key of %d bits, %d to %d are allowed", bits, minRSABits, maxRSABits)
	}
	if k.N.Bit(0) == 0 {
		return refuse(ReasonWeakKey, "RSA modulus is even")
	}
	if k.E < minRSAExponent || k.E%2 == 0 || k.E > math.MaxInt32 {
		return refuse(ReasonWeakKey, "RSA exponent %d, use %d", k.E, minRSAExponent)
	}
	return nil
}

// checkSignatureAlgorithm allows SHA-2 signatures of the key's own kind.
// x509 by itself still accepts SHA-1 in requests.
func checkSignatureAlgorithm(req *x509.CertificateRequest) error {
	var allowed []x509.SignatureAlgorithm
	switch req.PublicKey.(type) {
	case *ecdsa.PublicKey:
		allowed = []x509.SignatureAlgorithm{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512}
	case ed25519.PublicKey:
		allowed = []x509.SignatureAlgorithm{x509.PureEd25519}
	case *rsa.PublicKey:
		allowed = []x509.SignatureAlgorithm{
			x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
			x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		}
	}
	if !slices.Contains(allowed, req.SignatureAlgorithm) {
		return refuse(ReasonSignatureAlgorithm, "%s, sign with SHA-256", req.SignatureAlgorithm)
	}
	return nil
}
