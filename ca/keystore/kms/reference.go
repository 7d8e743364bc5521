package kms

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// prefix begins the names under which references are sealed; the rest is the key's name.
const prefix = "kms-"

// reference says where a key is. Without a public key it may not have been made yet.
type reference struct {
	Place  string `json:"place"`
	Key    string `json:"key"`
	Public []byte `json:"public,omitempty"` // DER of its SubjectPublicKeyInfo
}

// read is the reference of a key; an error that wraps fs.ErrNotExist if there is none.
func (s *Store) read(name string) (r reference, err error) {
	text, err := s.cfg.References.Read(prefix + name)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil || r.Place == "" || r.Key == "" {
		return r, fmt.Errorf("reading where key %s is: %w", name, ErrDamaged)
	}
	return r, nil
}

func (s *Store) write(name string, r reference) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("noting where key %s is: %w", name, err)
	}
	return s.cfg.References.Write(prefix+name, text)
}

// begin notes that a key is about to be made, under a label of its own: what others
// keep in the same place is never taken for ours.
func (s *Store) begin(name string) (reference, error) {
	label := "ensign-" + name[:min(len(name), 40)] + "-" + strings.ToLower(rand.Text()[:12])
	key, err := s.cfg.Place.key(label)
	if err != nil {
		return reference{}, err
	}
	r := reference{Place: s.cfg.Place.String(), Key: key}
	return r, s.write(name, r)
}

// public is the key's public half.
func (r reference) public() (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(r.Public)
	if err != nil {
		return nil, fmt.Errorf("reading the public half of key %s: %w", r.Key, ErrDamaged)
	}
	return key, nil
}

// missing says whether there is nothing of that name.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
