package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// A sealed file is, in this order:
//
//	magic   "ENSIGN-SEALED-1\n"
//	key ID  8 bytes derived from the KEK: tells a wrong KEK from a damaged file
//	salt    32 random bytes, new at every write
//	box     AES-256-GCM of the secret, nonce all zero
//
// The AES key comes from HKDF over KEK, salt and name, so it is used for one
// message only and the nonce may be constant. All that stands before the box,
// and the name, are authenticated with it.
const (
	magic     = "ENSIGN-SEALED-1\n"
	keyIDSize = 8
	saltSize  = 32
	headSize  = len(magic) + keyIDSize + saltSize
	purpose   = "ensign keystore v1 "
)

// seal encrypts a secret for one name.
func seal(kek KEK, name string, secret []byte) ([]byte, error) {
	id, err := keyID(kek)
	if err != nil {
		return nil, err
	}
	head := append([]byte(magic), id...)
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails: see crypto/rand
	head = append(head, salt...)
	box, err := newBox(kek, name, salt)
	if err != nil {
		return nil, err
	}
	return box.Seal(head, make([]byte, box.NonceSize()), secret, associated(head, name)), nil
}

// open is the inverse of seal. Errors wrap ErrWrongKEK or ErrDamaged.
func open(kek KEK, name string, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize || !bytes.HasPrefix(sealed, []byte(magic)) {
		return nil, ErrDamaged
	}
	id, err := keyID(kek)
	if err != nil {
		return nil, err
	}
	head, body := sealed[:headSize], sealed[headSize:]
	if !bytes.Equal(head[len(magic):len(magic)+keyIDSize], id) {
		return nil, ErrWrongKEK
	}
	box, err := newBox(kek, name, head[len(magic)+keyIDSize:])
	if err != nil {
		return nil, err
	}
	secret, err := box.Open(nil, make([]byte, box.NonceSize()), body, associated(head, name))
	if err != nil {
		return nil, ErrDamaged
	}
	return secret, nil
}

// associated is what a box is bound to besides its key.
func associated(head []byte, name string) []byte {
	return append(bytes.Clone(head[:headSize]), purpose+name...)
}

func newBox(kek KEK, name string, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, kek.key[:], salt, purpose+"seal "+name, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving key for %s: %w", name, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making cipher for %s: %w", name, err)
	}
	return cipher.NewGCM(block)
}

func keyID(kek KEK) ([]byte, error) {
	if kek.isZero() {
		return nil, ErrNoKEK
	}
	return hkdf.Key(sha256.New, kek.key[:], nil, purpose+"key id", keyIDSize)
}
