package revocation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

const day = 24 * time.Hour

// memory is a ledger in memory that can be told to fail.
type memory struct {
	mu      sync.Mutex
	entries []ca.Entry
	// refuse makes Append fail; lose makes it fail though the entry is written; blind
	// makes reading fail.
	refuse, lose, blind error
}

func (m *memory) Append(_ context.Context, e ca.Entry) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return 0, m.refuse
	}
	// As the ledger's JSON has it.
	for _, at := range []*time.Time{&e.Time, &e.NotBefore, &e.NotAfter, &e.TokenAt} {
		if !at.IsZero() {
			*at = at.UTC().Truncate(time.Second)
		}
	}
	m.entries = append(m.entries, e)
	return uint64(len(m.entries) - 1), m.lose
}

func (m *memory) find(keep func(ca.Entry) bool) ([]ca.Recorded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blind != nil {
		return nil, m.blind
	}
	var found []ca.Recorded
	for i, e := range m.entries {
		if keep(e) {
			found = append(found, ca.Recorded{Index: uint64(i), Entry: e})
		}
	}
	return found, nil
}

func (m *memory) Revocations(context.Context) ([]ca.Recorded, error) {
	return m.find(func(e ca.Entry) bool { return e.Kind == ca.KindRevocation })
}

func (m *memory) LiveSVIDs(_ context.Context, now time.Time) ([]ca.Recorded, error) {
	return m.find(func(e ca.Entry) bool { return e.Kind == ca.KindSVID && e.NotAfter.Unix() >= now.Unix() })
}

func (m *memory) LiveIssuers(_ context.Context, now time.Time) ([]ca.Recorded, error) {
	return m.find(func(e ca.Entry) bool { return e.Kind == ca.KindIssuer && e.NotAfter.Unix() >= now.Unix() })
}

func (m *memory) Renewals(_ context.Context, serial string) ([]ca.Recorded, error) {
	from := map[string]bool{serial: true}
	return m.find(func(e ca.Entry) bool {
		if e.Kind != ca.KindSVID || !from[e.ProofSerial] {
			return false
		}
		from[e.Serial] = true
		return true
	})
}

// world is a register on a ledger, and short ways to fill it.
type world struct {
	t testing.TB
	*memory
	*Register
	serial int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, memory: &memory{}, serial: 0x100}
	w.restart()
	return w
}

// restart makes a new register on the same ledger.
func (w *world) restart() {
	w.t.Helper()
	r, err := Open(w.t.Context(), Config{TrustDomain: td, Ledger: w.memory, TokenLife: day})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Register = r
}

func account(name string) identity.ServiceAccount {
	return identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: name}
}

// token is a caller with a token that was made now.
func token(name, pod string) identity.Caller {
	return identity.Caller{Account: account(name), Pod: pod, Proof: identity.ProofToken, TokenID: "jti", IssuedAt: time.Now().Truncate(time.Second)}
}

// by is a caller with the SVID that it got by a proof.
func by(c identity.Caller, serial string) identity.Caller {
	c.Proof, c.TokenID, c.IssuedAt, c.Serial = identity.ProofSVID, "", time.Time{}, serial
	return c
}

// append records an SVID for a caller that nobody asked about, and answers its serial.
func (w *world) append(c identity.Caller, issuer string, life time.Duration) string {
	w.t.Helper()
	w.mu.Lock()
	w.serial++
	serial := fmt.Sprintf("%x", w.serial)
	w.mu.Unlock()
	now := time.Now()
	_, err := w.memory.Append(w.t.Context(), ca.Entry{
		Kind: ca.KindSVID, Time: now, Certificate: "fp-" + serial, Serial: serial, SPIFFEID: c.Account.String(),
		IssuerSerial: issuer, IssuerSubject: "CN=" + issuer, NotBefore: now, NotAfter: now.Add(life),
		Proof: string(c.Proof), ProofSerial: c.Serial, Pod: c.Pod,
	})
	if err != nil {
		w.t.Error(err)
	}
	return serial
}

// issue is append for who is admitted; "" for who is not.
func (w *world) issue(c identity.Caller, issuer string, life time.Duration) (string, error) {
	done, err := w.Admit(w.t.Context(), c)
	if err != nil {
		return "", err
	}
	defer done()
	return w.append(c, issuer, life), nil
}

func (w *world) issuer(serial string, life time.Duration) {
	w.t.Helper()
	now := time.Now()
	if _, err := w.memory.Append(w.t.Context(), ca.Entry{Kind: ca.KindIssuer, Time: now, Certificate: "fp-" + serial, Serial: serial, Subject: "CN=" + serial, NotAfter: now.Add(life)}); err != nil {
		w.t.Fatal(err)
	}
}

func target(t testing.TB, kind Kind, value string) Target {
	t.Helper()
	parsed, err := ParseTarget(td, string(kind), value)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// act does what must succeed.
func (w *world) act(v Verb, kind Kind, value string) Act {
	w.t.Helper()
	a, l, err := w.Do(w.t.Context(), "uid:0", v, target(w.t, kind, value), "a test")
	if err != nil {
		w.t.Fatal(err)
	}
	if current, _ := w.Current(); current != l || l.Revision != a.Index+1 {
		w.t.Fatalf("after act %d the list is of revision %d", a.Index, l.Revision)
	}
	return a
}

// cut are the serials in the list, in order.
func (w *world) cut() []string {
	l, _ := w.Current()
	serials := []string{}
	for _, c := range l.Certificates {
		serials = append(serials, c.Serial)
	}
	return serials
}
