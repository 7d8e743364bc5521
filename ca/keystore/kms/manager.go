package kms

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"
)

// built is nil if this program can open a place: if it imports the place's client.
func built(p Place) error {
	if p.IsFile() {
		return nil
	}
	if _, ok := apiv1.LoadKeyManagerNewFunc(p.scheme); ok {
		return nil
	}
	if p.scheme == apiv1.PKCS11 {
		return fmt.Errorf("pkcs11: %w: a static program cannot load a PKCS#11 module; make one that can by `make build CGO_ENABLED=1`", ErrNotBuilt)
	}
	return fmt.Errorf("%s: %w", p.scheme, ErrNotBuilt)
}

// refusesPIN says whether a place took a PIN for a wrong one.
func refusesPIN(err error) bool { return strings.Contains(err.Error(), "CKR_PIN_") }

// maxPIN is the longest PIN in bytes.
const maxPIN = 256

// pin names a PIN without being it.
type pin [sha256.Size]byte

// pin looks at the file that holds a place's PIN, before the library does: that would
// offer an empty one where it cannot read. A PIN that was refused is not offered again,
// for a few wrong ones lock a token.
func (r *room) pin() (pin, error) {
	u, err := uri.Parse(r.place.text)
	if err != nil {
		return pin{}, fmt.Errorf("finding the PIN: %w", err)
	}
	path := u.Get("pin-source")
	if path == "" {
		return pin{}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return pin{}, fmt.Errorf("opening the PIN: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return pin{}, fmt.Errorf("reading the PIN: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return pin{}, fmt.Errorf("PIN file %s has mode %s: it must be a file that only its owner can read, run `chmod 600 %s`", path, info.Mode(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPIN+1))
	if err != nil {
		return pin{}, fmt.Errorf("reading the PIN: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || len(text) > maxPIN {
		return pin{}, fmt.Errorf("PIN file %s has no PIN of 1 to %d bytes in it", path, maxPIN)
	}
	offered := pin(sha256.Sum256(text))
	if offered == r.wrong {
		return pin{}, fmt.Errorf("the PIN in %s was refused and is not tried again, so that the token is not locked: correct the file", path)
	}
	return offered, nil
}
