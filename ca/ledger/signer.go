package ledger

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// keyName is the note key's name in the key store.
const keyName = "ledger"

// KeyStore keeps the key that signs checkpoints.
type KeyStore interface {
	// EnsureKey reads a key, or makes and keeps it, durably, if there is none.
	EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error)
}

// signer signs checkpoints (C2SP signed-note, Ed25519).
type signer struct {
	note.Verifier
	key  crypto.Signer
	text string // the verifier key as others take it
}

// newSigner reads the log's key, or makes it.
func newSigner(keys KeyStore, origin string) (*signer, error) {
	return signerOf(keys, origin, func() (crypto.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
}

func signerOf(keys KeyStore, origin string, missing func() (crypto.Signer, error)) (*signer, error) {
	key, err := keys.EnsureKey(keyName, missing)
	if err != nil {
		return nil, fmt.Errorf("loading the ledger's key: %w", err)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("loading the ledger's key: it is %T, want Ed25519", key.Public())
	}
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return nil, fmt.Errorf("naming the ledger's key: %w", err)
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("naming the ledger's key: %w", err)
	}
	return &signer{Verifier: verifier, key: key, text: text}, nil
}

// Sign implements note.Signer.
func (s *signer) Sign(message []byte) ([]byte, error) {
	return s.key.Sign(nil, message, crypto.Hash(0))
}
