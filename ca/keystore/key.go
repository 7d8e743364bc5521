package keystore

import (
	"crypto"
	"crypto/x509"
	"fmt"
)

// ReadKey opens a private key (ECDSA, Ed25519 or RSA). Errors are those of [Store.Read].
func (s *Store) ReadKey(name string) (crypto.Signer, error) {
	der, err := s.Read(name)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parsing key %s: %w", name, ErrDamaged)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s of kind %T cannot sign: %w", name, key, ErrDamaged)
	}
	return signer, nil
}

// WriteKey seals a private key as PKCS#8 (RFC 5958).
func (s *Store) WriteKey(name string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding key %s: %w", name, err)
	}
	return s.Write(name, der)
}

// EnsureKey opens a key, or makes and seals it if there is none yet. Any other
// error of reading is returned: a key that does not open is never replaced.
func (s *Store) EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.ReadKey(name)
	if err == nil || !missing(err) {
		return key, err
	}
	if key, err = generate(); err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	if err := s.WriteKey(name, key); err != nil {
		return nil, err
	}
	return key, nil
}
