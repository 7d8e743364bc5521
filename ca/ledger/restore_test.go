package ledger_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// backup is what Export writes of a ledger now.
func backup(t testing.TB, l *ledger.Ledger) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := l.Export(t.Context(), &out, 0); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func restore(t testing.TB, path string, from []byte, newer ...string) (ledger.Restored, error) {
	t.Helper()
	return ledger.Restore(t.Context(), ledger.RestoreConfig{Path: path, Origin: origin, Keys: keys{}, From: bytes.NewReader(from), Newer: newer})
}

func shut(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestABackupBecomesTheLedger: on a new machine, and over a store that was damaged.
func TestABackupBecomesTheLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	crowd(t, l, 700)
	saved := backup(t, l)
	note, _, _ := l.Checkpoint()
	l.Exec(t, "UPDATE entries SET data = replace(data, 'sa/a', 'sa/x') WHERE idx = 690")
	if err := reopen(t, l, path); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("the damaged store: %v", err)
	}
	for name, target := range map[string]string{"over the damaged": path, "new": filepath.Join(t.TempDir(), "l.db")} {
		done, err := restore(t, target, saved, note)
		if err != nil || done.Entries != 700 || done.Checkpoint != note || (done.Replaced == "") != (name == "new") || len(done.Warnings) > 0 {
			t.Fatalf("%s: %+v, %v", name, done, err)
		}
		again := open(t, target)
		if text, _, size := again.Checkpoint(); size != 700 || text != note {
			t.Errorf("%s: %d entries, %s", name, size, text)
		}
		if !bytes.Equal(backup(t, again), saved) {
			t.Errorf("%s: another backup of it differs", name)
		}
		crowd(t, again, 5)
		if _, err := verify(t, again, note); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if live, err := again.LiveSVIDs(t.Context(), svid(0).Time); err != nil || len(live) != 705 {
			t.Errorf("%s: %d live SVIDs, %v", name, len(live), err)
		}
		shut(t, again)
		for _, file := range files(t, filepath.Dir(target)) {
			if strings.Contains(file, "restoring") {
				t.Errorf("%s: %s is left", name, file)
			}
		}
	}
}

func TestAnEmptyLedgerIsRestored(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	path := filepath.Join(t.TempDir(), "l.db")
	if _, err := restore(t, path, backup(t, l)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, open(t, path), svid(0))
}

// TestARestoreThatForksIsRefused: whoever saw the later checkpoint would call the
// restored ledger a fork.
func TestARestoreThatForksIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	crowd(t, l, 30)
	old := backup(t, l)
	crowd(t, l, 12)
	newest, _, _ := l.Checkpoint()
	shut(t, l)
	other := open(t, filepath.Join(t.TempDir(), "other.db"))
	crowd(t, other, 60)
	foreign := backup(t, other)
	mark := path + ".checkpoint"
	for _, c := range []struct {
		name   string
		do     func()
		backup []byte
		newer  []string
		want   string
	}{
		{"the mark", func() {}, old, nil, "ends after 30 entries, and a checkpoint for 42 was signed ("},
		{"another history", func() {}, foreign, nil, "first 42 entries are not those"},
		{"the present store", func() { os.Remove(mark) }, old, nil, "for 42 was signed (the present store " + path},
		{"a checkpoint kept elsewhere", func() { os.Remove(path) }, old, []string{newest}, "for 42 was signed (newer checkpoint 1)"},
		{"another history elsewhere", func() {}, foreign, []string{newest}, "first 42 entries are not those"},
	} {
		c.do()
		before := files(t, filepath.Dir(path))
		_, err := restore(t, path, c.backup, c.newer...)
		if !errors.Is(err, ledger.ErrWouldFork) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
		if after := files(t, filepath.Dir(path)); strings.Join(after, " ") != strings.Join(before, " ") {
			t.Errorf("%s: it left %v, there was %v", c.name, after, before)
		}
	}
	if _, err := restore(t, path, old); err != nil {
		t.Errorf("nothing newer is known any more: %v", err)
	}
}

// noKey is a key store without the ledger's key.
type noKey struct{}

func (noKey) EnsureKey(_ string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	return generate()
}

// TestABadBackupChangesNothing: the ledger that is there stays and opens.
func TestABadBackupChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	crowd(t, l, 30)
	saved := backup(t, l)
	note, _, _ := l.Checkpoint()
	shut(t, l)
	stranger := open(t, filepath.Join(t.TempDir(), "other.db"))
	appendAll(t, stranger, svid(0))
	foreign, _, _ := stranger.Checkpoint()
	good := ledger.RestoreConfig{Path: path, Origin: origin, Keys: keys{}}
	for name, c := range map[string]struct {
		from   []byte
		change func(c *ledger.RestoreConfig)
		want   string
	}{
		"changed":        {bytes.Replace(saved, []byte("sa/a1"), []byte("sa/x1"), 1), nil, "was changed"},
		"cut short":      {saved[:len(saved)-300], nil, "cut short"},
		"no backup":      {[]byte("SQLite format 3\n"), nil, "no header"},
		"another key":    {saved, func(c *ledger.RestoreConfig) { c.Keys = keys{seed: [ed25519.SeedSize]byte{1}} }, "not signed by the key"},
		"no key":         {saved, func(c *ledger.RestoreConfig) { c.Keys = noKey{} }, "put the key store"},
		"another origin": {saved, func(c *ledger.RestoreConfig) { c.Origin = "ensign/other.example/ledger" }, "not signed by the key"},
		"bad newer":      {saved, func(c *ledger.RestoreConfig) { c.Newer = []string{strings.Replace(foreign, "\n1\n", "\n2\n", 1)} }, "reading newer checkpoint 1"},
	} {
		config := good
		config.From = bytes.NewReader(c.from)
		if c.change != nil {
			c.change(&config)
		}
		if _, err := ledger.Restore(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if got := strings.Join(files(t, filepath.Dir(path)), " "); got != "l.db l.db.checkpoint" {
			t.Errorf("%s: it left %s", name, got)
		}
	}
	again := open(t, path)
	if text, _, _ := again.Checkpoint(); text != note {
		t.Errorf("the ledger is now %s", text)
	}
}

func TestAStoreThatIsNoneIsReplaced(t *testing.T) {
	source := open(t, filepath.Join(t.TempDir(), "l.db"))
	crowd(t, source, 3)
	path := filepath.Join(t.TempDir(), "l.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := restore(t, path, backup(t, source))
	if err != nil || len(done.Warnings) != 1 || done.Replaced == "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if data, err := os.ReadFile(done.Replaced); err != nil || !bytes.HasPrefix(data, []byte("garbage ")) {
		t.Errorf("what was replaced: %.20q, %v", data, err)
	}
	shut(t, open(t, path))
	if err := os.WriteFile(path+".checkpoint", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, path, backup(t, source)); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("a mark of garbage: %v", err)
	}
}

// TestWhatTheDiskMadeOfABackupIsChecked: the new store is read before it is used.
func TestWhatTheDiskMadeOfABackupIsChecked(t *testing.T) {
	source := open(t, filepath.Join(t.TempDir(), "l.db"))
	crowd(t, source, 300)
	saved := backup(t, source)
	path := filepath.Join(t.TempDir(), "l.db")
	rot := func(step string) {
		data, err := os.ReadFile(path + ".restoring")
		if step != "written" || err != nil {
			t.Fatalf("at %s: %v", step, err)
		}
		if err := os.WriteFile(path+".restoring", bytes.ReplaceAll(data, []byte("ns/shop/sa"), []byte("ns/shoq/sa")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := ledger.RestoreSteps(t.Context(), ledger.RestoreConfig{Path: path, Origin: origin, Keys: keys{}, From: bytes.NewReader(saved)}, rot)
	if !errors.Is(err, ledger.ErrDamaged) || len(files(t, filepath.Dir(path))) != 0 {
		t.Errorf("%v, it left %v", err, files(t, filepath.Dir(path)))
	}
}

const restoreEnv = "ENSIGN_TEST_RESTORE"

// TestARestoreKilledBetweenSteps kills the process that restores, for each step:
// what is then there opens as it was before, as it is after, or not at all, and the
// next restore ends the work.
func TestARestoreKilledBetweenSteps(t *testing.T) {
	if dir := os.Getenv(restoreEnv); dir != "" {
		restoreAndDie(t, dir, os.Getenv(restoreEnv+"_STEP"))
		return
	}
	for _, step := range []string{"written", "built", "marked", "moved-wal", "moved-shm", "moved", "replaced"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "l.db")
			l := open(t, path)
			crowd(t, l, 20)
			shut(t, l)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			l = open(t, path)
			crowd(t, l, 20)
			saved := backup(t, l)
			shut(t, l)
			// The present store was rolled back, with its mark; its log lies beside it.
			for name, data := range map[string][]byte{path: old, path + "-wal": nil, path + "-shm": nil, filepath.Join(dir, "backup"): saved} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			os.Remove(path + ".checkpoint")
			cmd := exec.Command(os.Args[0], "-test.run=^TestARestoreKilledBetweenSteps$")
			cmd.Env = append(os.Environ(), restoreEnv+"="+dir, restoreEnv+"_STEP="+step)
			out, err := cmd.CombinedOutput()
			if status, ok := errors.AsType[*exec.ExitError](err); !ok || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("not killed at %s: %v\n%s", step, err, out)
			}
			checkKilled(t, path, step)
			if step == "replaced" {
				return
			}
			if _, err := restore(t, path, saved); err != nil {
				t.Fatalf("restoring again: %v", err)
			}
			if _, _, size := open(t, path).Checkpoint(); size != 40 {
				t.Errorf("restored again: %d entries", size)
			}
		})
	}
}

// checkKilled opens what a killed restore left.
func checkKilled(t *testing.T, path, step string) {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	got := fmt.Sprint(errors.Is(err, ledger.ErrRolledBack))
	if err == nil {
		_, _, size := l.Checkpoint()
		got = fmt.Sprint(size, " entries")
		shut(t, l)
	}
	want := map[string]string{"written": "20 entries", "built": "20 entries", "replaced": "40 entries"}[step]
	if want == "" {
		want = "true"
	}
	if got != want {
		t.Errorf("killed at %s: %s, %v; want %s", step, got, err, want)
	}
}

func restoreAndDie(t *testing.T, dir, at string) {
	file, err := os.Open(filepath.Join(dir, "backup"))
	if err != nil {
		t.Fatal(err)
	}
	// A log that is not empty would be folded into the store when it is looked at,
	// and then there is none to move: these are made anew.
	step := func(name string) {
		if name == "marked" {
			os.WriteFile(filepath.Join(dir, "l.db-wal"), nil, 0o600)
			os.WriteFile(filepath.Join(dir, "l.db-shm"), nil, 0o600)
		}
		if name == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err = ledger.RestoreSteps(t.Context(), ledger.RestoreConfig{Path: filepath.Join(dir, "l.db"), Origin: origin, Keys: keys{}, From: file}, step)
	t.Fatalf("not killed at %s: %v", at, err)
}

// TestAnExportFromTheMiddle is for reading, and says so.
func TestAnExportFromTheMiddle(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	crowd(t, l, 30)
	var out bytes.Buffer
	size, err := l.Export(t.Context(), &out, 20)
	if err != nil || size != 30 || strings.Count(out.String(), `{"kind":`) != 10 {
		t.Errorf("size %d, %v", size, err)
	}
	if _, err := audit.VerifyFile(t.Context(), bytes.NewReader(out.Bytes()), audit.Options{}); err == nil || !strings.Contains(err.Error(), "begins with entry 20") {
		t.Errorf("verified: %v", err)
	}
	if _, err := l.Export(t.Context(), &out, 31); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("from behind the end: %v", err)
	}
}
