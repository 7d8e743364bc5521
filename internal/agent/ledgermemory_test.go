package agent

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func memoryIn(t *testing.T, dir string, logs io.Writer) *ledgerMemory {
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(logs, t.Output()), nil))
	return openMemory(filepath.Join(dir, "ledger.checkpoint"), newMetrics(prometheus.NewRegistry()), logger)
}

func TestTheLedgerIsRemembered(t *testing.T) {
	dir, log := t.TempDir(), newTestLog(t).grow(20, "a")
	m := memoryIn(t, dir, io.Discard)
	if seen, _ := m.seen(); seen != nil {
		t.Errorf("before the first: %v", seen)
	}
	m.take(shownProof{log.at(8, 0), 0})
	m.take(shownProof{log.at(12, 8), 8})
	m = memoryIn(t, dir, io.Discard) // killed, and started again
	seen, forked := m.seen()
	if seen.GetSize() != 12 || len(seen.GetRoot()) != 32 || seen.GetFork() != "" {
		t.Fatalf("%v", seen)
	}
	if info, err := os.Stat(m.path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// A ledger that was rolled back, then written on with another past.
	var logs logBuffer
	m = memoryIn(t, dir, &logs)
	_, forked = m.seen()
	m.take(shownProof{log.fork().grow(6, "a").grow(14, "b").at(20, 12), 12})
	select {
	case <-forked:
	default:
		t.Error("nobody is told of the fork")
	}
	if !strings.Contains(logs.String(), "level=ERROR") || !strings.Contains(logs.String(), "forked") {
		t.Errorf("log %s", logs.String())
	}
	// It stays, over restarts and whatever is shown later, until somebody removes the file.
	for range 2 {
		m.take(shownProof{log.at(20, 12), 12})
		if seen, _ := m.seen(); seen.GetSize() != 12 || !strings.Contains(seen.GetFork(), "does not hold the 12") || !strings.Contains(seen.GetFork(), "ledger.test/one\n20\n") || len(seen.GetFork()) > maxText {
			t.Errorf("%v", seen)
		}
		m = memoryIn(t, dir, io.Discard)
	}
}

// The key is that of the first checkpoint, also for an agent that was started again.
func TestTheLedgersKeyIsPinned(t *testing.T) {
	dir, log := t.TempDir(), newTestLog(t).grow(20, "a")
	memoryIn(t, dir, io.Discard).take(shownProof{log.at(8, 0), 0})
	m := memoryIn(t, dir, io.Discard)
	m.take(shownProof{newTestLog(t).grow(20, "a").at(12, 8), 8})
	if seen, _ := m.seen(); seen.GetSize() != 8 || !strings.Contains(seen.GetFork(), "another ledger") {
		t.Errorf("%v", seen)
	}
}

func TestASpoiltMemoryIsSetAside(t *testing.T) {
	dir, log := t.TempDir(), newTestLog(t).grow(20, "a")
	path := filepath.Join(dir, "ledger.checkpoint")
	memoryIn(t, dir, io.Discard).take(shownProof{log.at(8, 0), 0})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "no JSON": []byte("rubbish"), "cut short": good[:len(good)/2], "two": append(bytes.Clone(good), good...),
		"another size": bytes.Replace(good, []byte(`\n8\n`), []byte(`\n9\n`), 1), "an unknown field": bytes.Replace(good, []byte(`"note"`), []byte(`"trust": 1, "note"`), 1),
		"too large": make([]byte, maxMemory+1), "nothing in it": []byte("{}"),
	} {
		write(t, path, string(bad))
		var logs logBuffer
		m := memoryIn(t, dir, &logs)
		if seen, _ := m.seen(); seen != nil || !strings.Contains(logs.String(), "level=ERROR") {
			t.Errorf("%s: %v; log %s", name, seen, logs.String())
		}
		if aside, err := os.ReadFile(path + ".refused"); err != nil || !bytes.Equal(aside, bad) {
			t.Errorf("%s: it was not set aside: %v", name, err)
		}
		m.take(shownProof{log.at(12, 0), 0})
		if seen, _ := memoryIn(t, dir, io.Discard).seen(); seen.GetSize() != 12 {
			t.Errorf("%s: afterwards %v", name, seen)
		}
	}
}

// The whole way: the control plane shows a ledger that grows, then another past;
// the fork is told at once, and the agent goes on.
func TestAForkIsReported(t *testing.T) {
	control := newControlPlane(t)
	log := newTestLog(t).grow(20, "a")
	forked := log.fork().grow(20, "b")
	size := int64(5)
	control.prove = func(seen *ensignv1.LedgerSeen) *ensignv1.LedgerProof { return log.at(size, int64(seen.GetSize())) }
	config := control.config(t)
	startAgent(t, config)
	next(t, "first report", control.reports, func(*ensignv1.Report) bool { return true })
	takeSecrets(t, config, nil)
	control.keepsAsking(t)
	grown := func(want int64) {
		t.Helper()
		next(t, "report of the ledger", control.reports, func(r *ensignv1.Report) bool { return r.GetLedger().GetSize() == uint64(want) })
	}
	grown(5)
	control.set(func() { size = 9 })
	grown(9)
	control.set(func() {
		control.prove = func(seen *ensignv1.LedgerSeen) *ensignv1.LedgerProof { return forked.at(15, int64(seen.GetSize())) }
	})
	told := next(t, "report of the fork", control.reports, func(r *ensignv1.Report) bool { return r.GetLedger().GetFork() != "" })
	if told.GetLedger().GetSize() != 9 || !ready(config) {
		t.Errorf("%v", told)
	}
}

// keepsAsking has the agent report again and again. What it learns of the ledger from
// the answer to one report only the next one tells, which is a minute away otherwise.
func (c *controlPlane) keepsAsking(t *testing.T) {
	go func() {
		for revision := uint64(1); ; revision++ {
			select {
			case c.cutOffs <- &ensignv1.CutOff{Revision: revision}:
			case <-t.Context().Done():
				return
			}
			select {
			case <-time.After(time.Second): // sooner, and none is ever obeyed
			case <-t.Context().Done():
				return
			}
		}
	}()
}
