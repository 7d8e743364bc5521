package ledger_test

import (
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// keys is a key store in memory.
type keys struct {
	mu   sync.Mutex
	held map[string]crypto.Signer
}

func (k *keys) EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.held[name]; ok {
		return key, nil
	}
	key, err := generate()
	if err != nil {
		return nil, err
	}
	k.held[name] = key
	return key, nil
}

const origin = "ensign/cluster.local/ledger"

func newKeys() *keys { return &keys{held: map[string]crypto.Signer{}} }

func open(t testing.TB, path string, k *keys) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// svid is the n-th certificate of an account.
func svid(n int) ca.Entry {
	now := time.Now()
	return ca.Entry{
		Kind: ca.KindSVID, Time: now, Serial: fmt.Sprintf("%032x", n+1), SPIFFEID: fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/a%d", n%3),
		NotBefore: now, NotAfter: now.Add(time.Hour),
	}
}

// verify feeds a whole ledger to the auditor.
func verify(l *ledger.Ledger, older string) (audit.Summary, error) {
	note, key, _ := l.Checkpoint()
	v, err := audit.New(key)
	if err != nil {
		return audit.Summary{}, err
	}
	if older != "" {
		if err := v.Expect(older); err != nil {
			return audit.Summary{}, err
		}
	}
	for record, err := range l.Read(context.Background(), 0, 0) {
		if err != nil {
			return audit.Summary{}, err
		}
		if err := v.Add(record.Index, record.Data); err != nil {
			return audit.Summary{}, err
		}
	}
	return v.Finish(note)
}

func TestWhatIsAppendedVerifiesAndSurvivesReopening(t *testing.T) {
	path, k := filepath.Join(t.TempDir(), "l.db"), newKeys()
	l := open(t, path, k)
	older := ""
	for n := range 300 {
		index, err := l.Append(t.Context(), svid(n))
		if err != nil || index != uint64(n) {
			t.Fatalf("append %d: index %d, %v", n, index, err)
		}
		if n == 100 {
			older, _, _ = l.Checkpoint()
		}
		if n == 200 {
			l.Close()
			l = open(t, path, k)
		}
	}
	summary, err := verify(l, older)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Entries != 300 || *summary.ConsistentWith != 101 {
		t.Errorf("%+v", summary)
	}
}
