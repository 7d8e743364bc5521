package rotation

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

var errCrashed = errors.New("the process is dead")

// world is what survives a process: ledger, places, folder. What a process does to it
// goes through act, which can kill that process before or after any of it.
type world struct {
	t   testing.TB
	mu  sync.Mutex
	dir string

	entries []ca.Entry
	roots   map[string]*fakeRoot // of all places, by place/name
	actions []string
	// killAt is the action that the process dies at, after it has taken effect or before.
	killAt int
	after  bool
	dead   bool
	// refuse answers an error for an action.
	refuse func(action string) error
	// slow is how long it takes to settle.
	slow time.Duration
	// lose answers an error for an entry that is written.
	lose   func(e ca.Entry) error
	onStep func(v verb, passed []string)
	passed []string // named by skip in this step
	// of the configuration
	every, visible time.Duration
	sick           map[string]error // Healthy of places, and of roots by place/name
}

func newWorld(t testing.TB) *world {
	return &world{t: t, dir: t.TempDir(), roots: map[string]*fakeRoot{}, killAt: -1, sick: map[string]error{}}
}

// act does one thing of a process to the world.
func (w *world) act(action string, do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errCrashed
	}
	if w.refuse != nil {
		if err := w.refuse(action); err != nil {
			return err
		}
	}
	w.actions = append(w.actions, action)
	if w.dead = len(w.actions)-1 == w.killAt; w.dead && !w.after {
		return errCrashed
	}
	err := do()
	if w.dead {
		return errCrashed
	}
	return err
}

func (w *world) Append(_ context.Context, e ca.Entry) (index uint64, err error) {
	err = w.act("append "+string(e.Kind)+" "+e.Verb, func() error {
		index = uint64(len(w.entries))
		w.entries = append(w.entries, e)
		w.witness(index, e)
		if w.lose != nil {
			return w.lose(e)
		}
		return nil
	})
	return index, err
}

// witness sees every step as it is written.
func (w *world) witness(index uint64, e ca.Entry) {
	if e.Kind != ca.KindRotation {
		return
	}
	r, err := recordOf(ca.Recorded{Index: index, Entry: e})
	if err != nil {
		w.t.Error(err)
	}
	if r.verb == skip {
		w.passed = append(w.passed, r.Names...)
		return
	}
	if w.onStep != nil {
		w.onStep(r.verb, w.passed)
	}
	w.passed = nil
}

func (w *world) Rotations(context.Context) (found []ca.Recorded, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, errCrashed
	}
	if w.refuse != nil {
		if err := w.refuse("read"); err != nil {
			return nil, err
		}
	}
	for n, e := range w.entries {
		if e.Kind == ca.KindRotation {
			found = append(found, ca.Recorded{Index: uint64(n), Entry: e})
		}
	}
	return found, nil
}

func (w *world) Roots(context.Context) (found []ca.Entry, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.Kind == ca.KindRoot {
			found = append(found, e)
		}
	}
	return found, nil
}

// verbs are those of the ledger, in order.
func (w *world) verbs() (all []string) {
	entries, _ := w.Rotations(context.Background())
	for _, e := range entries {
		all = append(all, e.Entry.Verb)
	}
	return all
}

// fakeRoot is a root of one certificate, or a CA below another root.
type fakeRoot struct {
	w     *world
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate
}

func certify(template, parent *x509.Certificate, key any, signer *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

func newRoot(w *world, name string, life time.Duration) *fakeRoot {
	key := catest.NewKey(w.t)
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{td.Name()}, CommonName: "Ensign root " + name},
		NotBefore: time.Now().Add(-ca.Backdate).Truncate(time.Second), NotAfter: time.Now().Add(life).Truncate(time.Second),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
	}
	return &fakeRoot{w, key, []*x509.Certificate{certify(template, template, key.Public(), key)}}
}

func (r *fakeRoot) Chain() []*x509.Certificate { return r.chain }

func (r *fakeRoot) CertifyIssuer(_ context.Context, q ca.IssuerRequest) (chain []*x509.Certificate, err error) {
	err = r.w.act("sign", func() error {
		chain = []*x509.Certificate{certify(q.Template, r.chain[0], q.PublicKey, r.key)}
		return nil
	})
	return chain, err
}

func (r *fakeRoot) Request(context.Context) (der []byte, err error) {
	err = r.w.act("request", func() error {
		der, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: r.chain[0].Subject}, r.key)
		return err
	})
	return der, err
}

// fakePlace keeps what it made.
type fakePlace struct {
	w    *world
	name string
}

func (p *fakePlace) Make(_ context.Context, name string) (root Root, err error) {
	err = p.w.act("make", func() error {
		id := p.name + "/" + name
		if p.w.roots[id] == nil {
			p.w.roots[id] = newRoot(p.w, name, 365*24*time.Hour)
		}
		root = p.w.roots[id]
		return nil
	})
	return root, err
}

func (p *fakePlace) Open(_ context.Context, name string, chain []*x509.Certificate) (Root, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	r := p.w.roots[p.name+"/"+name]
	if r == nil || !r.chain[0].Equal(chain[0]) {
		return nil, fmt.Errorf("%s has no key of %s", p.name, name)
	}
	return r, nil
}

func (p *fakePlace) Healthy(name string) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return cmp.Or(p.w.sick[p.name], p.w.sick[p.name+"/"+name])
}

// first makes the root of the mesh as a real place does: recorded before it returns.
func (w *world) first(ctx context.Context) (string, Root, error) {
	root, err := (&fakePlace{w, Builtin}).Make(ctx, "root")
	if err != nil {
		return "", nil, err
	}
	cert := root.Chain()[0]
	if held, _ := w.Roots(ctx); !slices.ContainsFunc(held, func(e ca.Entry) bool { return e.Certificate == ca.Fingerprint(cert) }) {
		if _, err := w.Append(ctx, ca.CertificateEntry(ca.KindRoot, cert, cert, time.Now())); err != nil {
			return "", nil, err
		}
	}
	return "root", root, nil
}

func (w *world) config() Config {
	return Config{
		TrustDomain: td, Ledger: w, Dir: w.dir, FirstPlace: Builtin, First: w.first, Every: w.every, Visible: w.visible,
		Places: map[string]Place{Builtin: &fakePlace{w, Builtin}, Vault: &fakePlace{w, Vault}},
	}
}
