package upstream

import (
	"crypto"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/rotation"
)

// farKeys are those of a place that may be away.
type farKeys struct {
	KeyStore
	since     time.Time
	err, gone error
}

// farKey knows how it is.
type farKey struct {
	crypto.Signer
	of *farKeys
}

func (k *farKeys) Healthy() (time.Time, error) { return k.since, k.err }
func (k farKey) Healthy() (time.Time, error)   { return k.of.Healthy() }
func (k *farKeys) ReadKey(name string) (crypto.Signer, error) {
	if k.gone != nil {
		return nil, k.gone
	}
	key, err := k.KeyStore.ReadKey(name)
	return farKey{key, k}, err
}

// TestAKeyThatIsAway: what it says of itself is the root's ailment, with its time.
func TestAKeyThatIsAway(t *testing.T) {
	p := newPlace(t)
	keys := &farKeys{KeyStore: p.Keys}
	p.Keys = keys
	b := p.builtin(t)
	made2(t, b, "ensign-one")
	if err := errors.Join(b.Healthy("ensign-one"), b.Healthy("")); err != nil {
		t.Fatal(err)
	}
	hangs, since := errors.New("it hangs"), time.Now().Add(-time.Hour)
	keys.err, keys.since = hangs, since
	for _, name := range []string{"ensign-one", ""} {
		var a *rotation.Ailment
		if err := b.Healthy(name); !errors.Is(err, hangs) || !errors.As(err, &a) || !a.Since.Equal(since) {
			t.Errorf("%q: %v", name, err)
		}
	}
	keys.gone = fs.ErrNotExist
	if err := b.Healthy("ensign-one"); err == nil || !strings.Contains(err.Error(), "root-ensign-one is gone: restore") {
		t.Errorf("its key is gone: %v", err)
	}
	keys.gone = errors.New("input/output error")
	if err := b.Healthy("ensign-one"); !errors.Is(err, keys.gone) {
		t.Errorf("its key can't be read: %v", err)
	}
}
