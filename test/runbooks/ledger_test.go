package runbooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

// The ledger is gone, and with it what was issued since the backup.
func TestLedgerRestored(t *testing.T) {
	l, p := lostLedger(t, func(l *lab.Lab) {
		for _, pod := range l.Sidecars() {
			if err := check(t, l, "proxy", "renew", pod.Namespace+"/"+pod.Name); err != nil {
				t.Fatal(err)
			}
		}
	})
	p.follow(t, l)
	lives(t, l, "builtin")
	allRecorded(t, l)
}

// The root was replaced after the backup: ensignd does not go back to the one before by
// itself, and when it is told to, everybody follows.
func TestLedgerRestoredFromBeforeARotation(t *testing.T) {
	var before string
	l, p := lostLedger(t, func(l *lab.Lab) {
		a, err := l.Authority(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before = a.Signing().Fingerprint
		if err := check(t, l, "ca", "rotate", "root", "--window", "1s", "--wait=60s"); err != nil {
			t.Fatal(err)
		}
	})
	const replaced = "the root was replaced after the backup"
	p.choose = append(p.choose, replaced)
	p.before["mv $DATA/bundle.pem"] = func(shell *lab.Shell) {
		r := typed(t, shell, "ensignd --manifests $MANIFESTS --data $DATA --kek $KEK $FLAGS")
		if r.Code != 1 || !strings.Contains(r.Output, "the ledger tells of other roots than workloads live on") || !strings.Contains(r.Output, before[:12]) {
			t.Errorf("exit %d: %s", r.Code, r.Output)
		}
	}
	p.follow(t, l)
	if a := lives(t, l, "builtin"); a.Signing().Fingerprint != before {
		t.Errorf("%s signs, and not the root that the ledger knows", a.Signing().Name)
	}
	allRecorded(t, l)
}

// lostLedger is a mesh whose ledger is lost after a backup and what came since, and how
// the runbook is followed there.
func lostLedger(t *testing.T, since func(*lab.Lab)) (*lab.Lab, play) {
	t.Helper()
	l := mesh(t, lab.Config{})
	populate(t, l)
	backup := filepath.Join(t.TempDir(), "backup.jsonl")
	if err := check(t, l, "ledger", "backup", "--out", backup); err != nil {
		t.Fatal(err)
	}
	since(l)
	if err := l.Control.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Control.Data, "ledger.db"), []byte("a broken disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	var dirs, bundles []string
	for _, pod := range l.Sidecars() {
		dirs = append(dirs, filepath.Join(pod.Dir, "run"))
		bundles = append(bundles, filepath.Join(pod.Dir, "bundle.pem"))
	}
	const newest = "the backup may be the newest"
	return l, play{
		book:      "ledger-restored",
		variables: []string{"BACKUP=" + backup, "RUN_DIRS=" + strings.Join(dirs, " "), "AGENT_BUNDLES=" + strings.Join(bundles, " ")},
		choose:    []string{newest, "it was refused"},
		fails:     map[string]string{newest: ""},
		before: map[string]func(*lab.Shell){
			"rm -f $dir/ledger.checkpoint": func(*lab.Shell) {
				for _, pod := range l.Sidecars() {
					if err := pod.KillAgent(); err != nil {
						t.Fatal(err)
					}
				}
			},
			"for try in $(seq 120)": func(*lab.Shell) {
				for _, pod := range l.Sidecars() {
					if err := pod.RunAgent(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			},
		},
	}
}

// allRecorded wants the record to hold what every Envoy serves.
func allRecorded(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventually(t, func() error {
		for _, pod := range l.Sidecars() {
			cert, err := pod.StealKey(t.Context())
			if err != nil {
				return err
			}
			if err := check(t, l, "audit", "show", cert.Leaf.SerialNumber.Text(16)); err != nil {
				return err
			}
		}
		return nil
	})
}
