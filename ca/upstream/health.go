package upstream

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ensign-mesh/ensign/ca/rotation"
)

// knowing is a key, or a store of keys, that can be away: in a hardware module or a cloud.
type knowing interface {
	// Healthy says why it could not be used, and since when, without asking; nil if it could.
	Healthy() (since time.Time, err error)
}

// healthy says why a key could not sign: what it says itself, or that it is gone.
func healthy(keys KeyStore, name string) error {
	key, err := keys.ReadKey(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its key %s is gone: restore the key folder from a backup", name)
	}
	if err != nil {
		return fmt.Errorf("reading its key %s: %w", name, err)
	}
	return ailing(key)
}

// ailing is what something says of itself, if it knows.
func ailing(v any) error {
	one, ok := v.(knowing)
	if !ok {
		return nil
	}
	since, err := one.Healthy()
	if err == nil {
		return nil
	}
	return &rotation.Ailment{Err: err, Since: since}
}
