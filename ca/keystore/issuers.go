package keystore

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// issuerPrefix begins the names of issuers; the rest is the serial.
const issuerPrefix = "issuer-"

// sealedIssuer is an issuer as it is sealed: key and chain in one file, so that
// neither is ever there alone.
type sealedIssuer struct {
	Key        []byte   `json:"key"`   // PKCS#8; null of a remote's
	Chain      [][]byte `json:"chain"` // DER, the issuer's own first
	Introduced bool     `json:"introduced"`
	Imported   bool     `json:"imported,omitempty"`
	Remote     bool     `json:"remote,omitempty"`
}

// SaveIssuer implements [ca.IssuerStore].
func (s *Store) SaveIssuer(i ca.StoredIssuer) error {
	sealed := sealedIssuer{Introduced: i.Introduced, Imported: i.Imported, Remote: i.Remote}
	if !i.Remote {
		var err error
		if sealed.Key, err = x509.MarshalPKCS8PrivateKey(i.Key); err != nil {
			return fmt.Errorf("encoding the key of issuer %s: %w", i.Serial(), err)
		}
	}
	for _, c := range i.Chain {
		sealed.Chain = append(sealed.Chain, c.Raw)
	}
	text, err := json.Marshal(sealed)
	if err != nil {
		return fmt.Errorf("encoding issuer %s: %w", i.Serial(), err)
	}
	return s.Write(issuerPrefix+i.Serial(), text)
}

// LoadIssuers implements [ca.IssuerStore].
func (s *Store) LoadIssuers() ([]ca.StoredIssuer, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing issuers: %w", err)
	}
	var found []ca.StoredIssuer
	var errs []error
	for _, f := range files {
		serial, sealed := strings.CutSuffix(f.Name(), extension)
		serial, named := strings.CutPrefix(serial, issuerPrefix)
		if !sealed || !named {
			continue
		}
		i, err := s.loadIssuer(serial)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, i)
	}
	return found, errors.Join(errs...)
}

func (s *Store) loadIssuer(serial string) (ca.StoredIssuer, error) {
	text, err := s.Read(issuerPrefix + serial)
	if err != nil {
		return ca.StoredIssuer{}, err
	}
	i, err := parseIssuer(text)
	if err == nil && i.Serial() != serial {
		err = errors.New("it is of another serial")
	}
	if err != nil {
		return ca.StoredIssuer{}, fmt.Errorf("reading issuer %s: %w: %w", serial, ErrDamaged, err)
	}
	return i, nil
}

func parseIssuer(text []byte) (i ca.StoredIssuer, err error) {
	var sealed sealedIssuer
	if err := json.Unmarshal(text, &sealed); err != nil {
		return i, err
	}
	for _, der := range sealed.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return i, err
		}
		i.Chain = append(i.Chain, cert)
	}
	i.Introduced, i.Imported, i.Remote = sealed.Introduced, sealed.Imported, sealed.Remote
	if len(i.Chain) == 0 {
		return i, errors.New("chain is missing")
	}
	if i.Remote {
		return i, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(sealed.Key)
	if err != nil {
		return i, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return i, errors.New("key is missing")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(i.Chain[0].PublicKey) {
		return i, errors.New("key and certificate do not belong together")
	}
	i.Key = signer
	return i, nil
}

// DeleteIssuer implements [ca.IssuerStore].
func (s *Store) DeleteIssuer(serial string) error {
	path, err := s.path(issuerPrefix + serial)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !missing(err) {
		return fmt.Errorf("deleting issuer %s: %w", serial, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}
