package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
)

// StealIssuer takes the key of the issuer in force, as one could who has both the
// data folder and the key-encryption key.
func (l *Lab) StealIssuer() (ca.StoredIssuer, error) {
	copied, err := l.CopyData("stolen")
	if err != nil {
		return ca.StoredIssuer{}, err
	}
	kek, err := keystore.LoadKEK(copied.kek, copied.Data)
	if err != nil {
		return ca.StoredIssuer{}, err
	}
	keys, err := keystore.Open(filepath.Join(copied.Data, "keys"), kek)
	if err != nil {
		return ca.StoredIssuer{}, err
	}
	issuers, err := keys.LoadIssuers()
	if err != nil {
		return ca.StoredIssuer{}, err
	}
	for _, issuer := range issuers {
		if issuer.Introduced {
			return issuer, nil
		}
	}
	return ca.StoredIssuer{}, errors.New("stealing an issuer: the copy holds none that signs")
}

// Counterfeit signs an SVID for an ID past the ledger, with an issuer's key.
func Counterfeit(issuer ca.StoredIssuer, id string) (tls.Certificate, error) {
	uri, err := url.Parse(id)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the ID to counterfeit: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{uri}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, issuer.Chain[0], key.Public(), issuer.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("counterfeiting a certificate: %w", err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for _, c := range issuer.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	cert.Leaf, err = x509.ParseCertificate(der)
	return cert, err
}
