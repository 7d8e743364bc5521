package keystore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// kekSize is the length of a key-encryption key in bytes.
const kekSize = 32

// KEK is a key-encryption key. Printing or logging one, or whatever holds one,
// shows nothing of it. The zero KEK opens nothing.
type KEK struct {
	// key is behind a pointer because fmt looks into unexported fields of
	// structs without asking their methods, but does not follow pointers there.
	key *[kekSize]byte
}

// NewKEK makes a random key.
func NewKEK() KEK {
	k := new([kekSize]byte)
	rand.Read(k[:]) // never fails: see crypto/rand
	return KEK{key: k}
}

// ParseKEK reads a key from standard base64; white space around it is ignored.
// Errors wrap [ErrNoKEK] or [ErrBadKEK] and never quote the text.
func ParseKEK(text string) (KEK, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return KEK{}, ErrNoKEK
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != kekSize {
		return KEK{}, ErrBadKEK
	}
	key := [kekSize]byte(raw)
	if key == [kekSize]byte{} {
		return KEK{}, fmt.Errorf("%w: this one is all zeroes", ErrBadKEK)
	}
	return KEK{key: &key}, nil
}

// LoadKEK reads a key from a file that only its owner can read and that lies
// outside dataDir, after all symbolic links. Errors wrap [ErrNoKEK],
// [ErrKEKPlace] or [ErrBadKEK] and say what to do.
func LoadKEK(file, dataDir string) (KEK, error) {
	if file == "" {
		return KEK{}, ErrNoKEK
	}
	real, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		return KEK{}, fmt.Errorf("%w: %s does not exist", ErrNoKEK, file)
	}
	if err != nil {
		return KEK{}, fmt.Errorf("finding key-encryption key: %w", err)
	}
	if err := checkOutside(file, real, dataDir); err != nil {
		return KEK{}, err
	}
	text, err := readPrivate(real)
	if err != nil {
		return KEK{}, err
	}
	k, err := ParseKEK(text)
	if err != nil {
		return KEK{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return k, nil
}

// checkOutside refuses a key that a copy of the data folder would carry along,
// or that the data folder names by a link.
func checkOutside(file, real, dataDir string) error {
	data, err := resolve(dataDir)
	if err != nil {
		return fmt.Errorf("finding data folder: %w", err)
	}
	parent, err := resolve(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("finding key-encryption key: %w", err)
	}
	for _, place := range []string{real, filepath.Join(parent, filepath.Base(file))} {
		place, err := filepath.Abs(place)
		if err != nil {
			return fmt.Errorf("finding key-encryption key: %w", err)
		}
		if within(place, data) {
			return fmt.Errorf("%w: %s lies inside the data folder %s: move it out, e.g. to /etc/ensign/kek", ErrKEKPlace, file, dataDir)
		}
	}
	return nil
}

// readPrivate reads a small regular file that nobody but its owner may read.
func readPrivate(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("opening key-encryption key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("reading key-encryption key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s is not a regular file", ErrKEKPlace, path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%w: %s has mode %04o: run `chmod 600 %s`", ErrKEKPlace, path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("reading key-encryption key: %w", err)
	}
	return string(text), nil
}

// resolve follows the links of a path whose end need not exist yet.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
		return real, err
	}
	parent, err := resolve(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// Encode is the base64 text that [ParseKEK] reads. It is the secret itself.
func (k KEK) Encode() string {
	if k.isZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.key[:])
}

// Format hides the key from every verb of fmt.
func (k KEK) Format(s fmt.State, _ rune) { io.WriteString(s, hidden) }

// LogValue hides the key from slog.
func (k KEK) LogValue() slog.Value { return slog.StringValue(hidden) }

const hidden = "KEK(hidden)"

func (k KEK) isZero() bool { return k.key == nil }
