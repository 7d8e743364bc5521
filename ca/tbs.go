package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
)

// certificateForm is Certificate (RFC 5280 §4.1).
type certificateForm struct {
	TBS       asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// algorithms are how issuers sign (RFC 5758 §3.2, RFC 4055 §5): with ECDSA, or with RSA
// if they were imported.
var algorithms = map[x509.SignatureAlgorithm]pkix.AlgorithmIdentifier{
	x509.ECDSAWithSHA256: {Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	x509.SHA256WithRSA:   {Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
}

// algorithmOf is how an issuer signs.
func algorithmOf(issuer *x509.Certificate) x509.SignatureAlgorithm {
	if _, ok := issuer.PublicKey.(*rsa.PublicKey); ok {
		return x509.SHA256WithRSA
	}
	return x509.ECDSAWithSHA256
}

// noSignature stands where nothing was signed. It is no signature of any key.
var noSignature = []byte{0}

var errCaught = errors.New("nothing is signed here")

// catcher is a signer that keeps what it is to sign, and does not sign it.
type catcher struct {
	public  crypto.PublicKey
	message []byte
}

func (c *catcher) Public() crypto.PublicKey { return c.public }

func (c *catcher) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errCaught }

// SignMessage implements [crypto.MessageSigner], so that x509 hands over the whole
// message and not its hash.
func (c *catcher) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	c.message = message
	return nil, errCaught
}

// toBeSigned encodes what an issuer would sign, without its key.
func toBeSigned(template, issuer *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	caught, t := &catcher{public: issuer.PublicKey}, *template
	t.SignatureAlgorithm = algorithmOf(issuer)
	_, err := x509.CreateCertificate(rand.Reader, &t, issuer, key, caught)
	if caught.message == nil {
		return nil, fmt.Errorf("encoding certificate: %w", err)
	}
	return caught.message, nil
}

// signTBS makes a certificate of what is to be signed, and of nothing else.
func signTBS(tbs []byte, issuer *x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return parseTBS(tbs, signature, algorithmOf(issuer))
}

// parseTBS reads what is to be signed as the certificate that it would be.
func parseTBS(tbs, signature []byte, algorithm x509.SignatureAlgorithm) (*x509.Certificate, error) {
	der, err := asn1.Marshal(certificateForm{
		TBS: asn1.RawValue{FullBytes: tbs}, Algorithm: algorithms[algorithm],
		Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
