package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// extension ends the names of sealed files.
const extension = ".key"

// maxSecret is how large a secret may be in bytes.
const maxSecret = 1 << 20

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// Store is a folder of sealed secrets. It is safe for concurrent use.
type Store struct {
	dir string
	kek KEK
	// mu makes EnsureKey's look-then-write one step.
	mu sync.Mutex
}

// Open uses a folder, making it (and its parents) with mode 0700 if need be.
// A folder that others may enter is refused, and so is one that another process
// has open: it is this process's until that ends. What a crashed writer left is removed.
func Open(dir string, kek KEK) (*Store, error) {
	if kek.isZero() {
		return nil, ErrNoKEK
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making key folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("looking at key folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key folder %s has mode %04o: run `chmod 700 %s`", dir, info.Mode().Perm(), dir)
	}
	if err := durable.Claim(dir); err != nil {
		return nil, err
	}
	if err := durable.Sweep(dir); err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return &Store{dir: dir, kek: kek}, nil
}

// Write seals a secret of at most 1 MiB under a name ([a-z0-9-], at most 64
// bytes). After nil it is durable; before, the old secret stays.
func (s *Store) Write(name string, secret []byte) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if len(secret) > maxSecret {
		return fmt.Errorf("secret %s has %d bytes, at most %d are allowed", name, len(secret), maxSecret)
	}
	sealed, err := seal(s.kek, name, secret)
	if err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	return durable.WriteFile(path, sealed, 0o600)
}

// Read opens a secret. Errors wrap [fs.ErrNotExist] if there is none of that
// name, [ErrWrongKEK] or [ErrDamaged].
func (s *Store) Read(name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	sealed, err := readSealed(path)
	if err != nil {
		return nil, err
	}
	secret, err := open(s.kek, name, sealed)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return secret, nil
}

func readSealed(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading sealed secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading sealed secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("sealed secret %s has mode %s: it must be a file that only its owner can read, run `chmod 600 %s`", path, info.Mode(), path)
	}
	return io.ReadAll(io.LimitReader(f, maxSecret+4096))
}

func (s *Store) path(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fmt.Errorf("name of a secret %q must be of the letters a-z, 0-9 and -", name)
	}
	return filepath.Join(s.dir, name+extension), nil
}

// missing says whether an error of Read means that there is no such secret.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
