package upstream

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// firstName is the name of the first root; its key has the same in the key store.
const firstName = "root"

// nameForm is that of later roots' names.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// KeyStore keeps roots' private keys.
type KeyStore interface {
	// ReadKey returns an error that wraps fs.ErrNotExist if there is no such key.
	ReadKey(name string) (crypto.Signer, error)
	// EnsureKey reads a key, or makes and keeps it, durably, if there is none.
	EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error)
}

// Ledger takes the first root's entry, and remembers it.
type Ledger interface {
	ca.Ledger
	// Roots are the entries of all roots that were ever recorded.
	Roots(ctx context.Context) ([]ca.Entry, error)
}

// Config is what built-in roots need; all fields but Logger are required.
type Config struct {
	// Dir is the data folder, which exists.
	Dir         string
	TrustDomain spiffeid.TrustDomain
	Keys        KeyStore
	// Ledger gets an entry when the first root is made, and must hold it ever after.
	Ledger Ledger
	// Logger hears of a root that is made. Nil is silence.
	Logger *slog.Logger
}

// Builtin is the place of the roots that are built in. It implements
// [rotation.Place] and is safe for concurrent use.
type Builtin struct {
	cfg Config
	// turn is held by who makes a root.
	turn sync.Mutex
}

// NewBuiltin is the place of a data folder. Only one process may use that at a time; a
// key store that keeps others out of the folder, as ca/keystore does, sees to it.
func NewBuiltin(cfg Config) (*Builtin, error) {
	if cfg.Dir == "" || cfg.TrustDomain.IsZero() || cfg.Keys == nil || cfg.Ledger == nil {
		return nil, errors.New("the built-in root needs a data folder, a trust domain, a key store and a ledger")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Builtin{cfg: cfg}, nil
}

// First implements [rotation.First]: the root of root.pem, made at the first start.
// Errors wrap [ErrUnrecorded] or [ErrLost] when root and ledger tell different stories.
func (b *Builtin) First(ctx context.Context) (string, rotation.Root, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	if err := durable.SweepFile(b.cfg.pending()); err != nil {
		return "", nil, err
	}
	key, cert, err := b.cfg.root(ctx)
	if err != nil {
		return "", nil, err
	}
	return firstName, &root{key: key, chain: []*x509.Certificate{cert}}, nil
}

// Make implements [rotation.Place]. The ledger does not hear of the root here.
func (b *Builtin) Make(ctx context.Context, name string) (rotation.Root, error) {
	if !nameForm.MatchString(name) || name == firstName {
		return nil, fmt.Errorf("name of a root %q must be of the letters a-z, 0-9 and -, at most 40", name)
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	key, cert, err := b.cfg.make(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("making root %s: %w", name, err)
	}
	return &root{key: key, chain: []*x509.Certificate{cert}}, nil
}

// Open implements [rotation.Place]. A root that has expired can be opened: it signs
// nothing any more.
func (b *Builtin) Open(_ context.Context, name string, chain []*x509.Certificate) (rotation.Root, error) {
	if name != firstName && !nameForm.MatchString(name) {
		return nil, fmt.Errorf("opening root %q: that is no name of a built-in root", name)
	}
	if len(chain) != 1 {
		return nil, fmt.Errorf("opening root %s: a chain of %d certificates, a built-in root is one", name, len(chain))
	}
	key, err := b.cfg.Keys.ReadKey(keyName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening root %s: the ledger shows %q in force, and its key %s is gone: restore the key folder from a backup", name, chain[0].Subject, keyName(name))
	}
	if err != nil {
		return nil, fmt.Errorf("opening root %s: reading its key: %w", name, err)
	}
	if err := b.cfg.checkOne(key, chain[0]); err != nil {
		return nil, fmt.Errorf("opening root %s: %w", name, err)
	}
	return &root{key: key, chain: chain}, nil
}

// Healthy implements [rotation.Place]: the key is at hand, wherever it is kept.
func (b *Builtin) Healthy(name string) error {
	if name == "" {
		return ailing(b.cfg.Keys)
	}
	return healthy(b.cfg.Keys, keyName(name))
}

// keyName is a root's name in the key store.
func keyName(name string) string {
	if name == firstName {
		return name
	}
	return "root-" + name
}

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// madeFile holds a root that was made, by its name, until the ledger has it; nobody
// needs it after that.
func (c Config) madeFile(name string) string { return filepath.Join(c.Dir, "root-"+name+".pem") }

// make finds what an earlier call left, or makes key and certificate. The certificate
// is durable before anybody hears of it, so that no key ever gets a second one.
func (c Config) make(ctx context.Context, name string) (crypto.Signer, *x509.Certificate, error) {
	file := c.madeFile(name)
	if err := durable.SweepFile(file); err != nil {
		return nil, nil, err
	}
	cert, err := readCertificate(file)
	if err == nil {
		key, err := c.keyOf(file, keyName(name))
		if err != nil {
			return nil, nil, err
		}
		return key, cert, c.check(key, cert, time.Now())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	return c.create(ctx, keyName(name), file)
}
