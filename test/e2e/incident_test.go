package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// aside is a small mesh of its own, for what would spoil the shared one: catalog,
// echo, a reader, and a machine outside.
func aside(t *testing.T) *lab.Lab {
	t.Helper()
	need.Root(t)
	l, err := lab.Open(t.Context(), lab.Config{
		Bin:       need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop"),
		Envoy:     need.Envoy(t),
		Manifests: filepath.Join(need.Tree(t), "examples", "bookshop", "manifests"),
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ensignd's log ends:\n%s", l.Control.Process().Tail())
			for _, pod := range l.Sidecars() {
				t.Logf("the log of the agent of %s ends:\n%s", pod.Name, pod.Agent().Tail())
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Apply("test-extras.yaml", extras); err != nil {
		t.Fatal(err)
	}
	var wanted []lab.PodSpec
	for _, p := range pods() {
		switch p.Name {
		case "reader", "catalog", "echo", "outsider":
			p.Agent = nil
			wanted = append(wanted, p)
		}
	}
	if err := l.AddPods(t.Context(), wanted...); err != nil {
		t.Fatal(err)
	}
	holds(t, l, probe{from: "reader", url: books, want: 200})
	return l
}

// With an issuer's key, certificates are signed that no record holds. They are found
// by who met them, and refused when the issuer is revoked; everybody else is back
// with certificates of another issuer.
func TestCertificatesPastTheRecordAreFoundAndEnded(t *testing.T) {
	l := aside(t)
	if r := l.Ensign(t.Context(), "identity", "audit", "--fail-on", "unlogged"); r.Code != 0 {
		t.Fatalf("before anything happened: %s", r.Output)
	}
	issuer, err := l.StealIssuer()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := lab.Counterfeit(issuer, l.Pod("reader").ID())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), cert)
	held, err := thief.Holds(t.Context(), l.Pod("catalog"), l.Pod("echo"))
	if err != nil {
		t.Fatalf("a counterfeit is refused before its issuer is revoked, so this test tests nothing: %v", err)
	}
	eventually(t, func() error {
		r := l.Ensign(t.Context(), "identity", "audit", "--fail-on", "unlogged")
		if r.Code != 1 || !strings.Contains(r.Output, cert.Leaf.SerialNumber.Text(16)) {
			return fmt.Errorf("the counterfeit is not found: exit %d\n%s", r.Code, r.Output)
		}
		return nil
	})
	timeline, err := lab.CutOff(t.Context(), held, func() lab.Result {
		return l.Ensign(t.Context(), "revoke", "--issuer", issuer.Serial(), "--reason", "key stolen", "--wait=60s")
	})
	t.Logf("timeline:\n%s", timeline)
	if err != nil {
		t.Error(err)
	}
	another, err := lab.Counterfeit(issuer, l.Pod("reader").ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.NewThief(l.Pod("outsider"), another).Fresh(t.Context(), l.Pod("catalog"), 9080); err == nil {
		t.Error("another counterfeit is let in after its issuer was revoked")
	}
	holds(t, l, probe{from: "reader", url: books, want: 200})
	ledgerHolds(t, l)
}

// A ledger that is put back to an older state, mark and all, opens; the agents have
// seen more of it, and say so.
func TestAgentsReportALedgerThatWasRolledBack(t *testing.T) {
	l := aside(t)
	older, err := l.CopyData("older")
	if err != nil {
		t.Fatal(err)
	}
	size := len(recorded(t, l))
	for range 3 { // the ledger grows, and agents see it with their next report
		if err := l.Pod("reader").RenewToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r := l.Ensign(t.Context(), "quarantine", l.Pod("echo").ID(), "--wait"); r.Code != 0 {
		t.Fatalf("quarantine: %s", r.Output)
	}
	if r := l.Ensign(t.Context(), "release", l.Pod("echo").ID()); r.Code != 0 {
		t.Fatalf("release: %s", r.Output)
	}
	eventually(t, func() error {
		for _, p := range l.Sidecars() {
			if seen, err := p.Metric(t.Context(), "ensign_agent_ledger_entries"); err == nil && seen > float64(size) {
				return nil
			}
		}
		return errors.New("no agent has seen the ledger grow")
	})
	if r := l.Ensign(t.Context(), "identity", "audit", "--fail-on", "fork"); r.Code != 0 {
		t.Fatalf("before anything happened: %s", r.Output)
	}
	if err := l.Control.Process().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	replaceLedger(t, l.Control.Data, older.Data)
	if err := l.Control.Start(t.Context()); err != nil {
		t.Fatalf("a wholly older ledger does not open by itself: %v", err)
	}
	eventually(t, func() error {
		if r := l.Ensign(t.Context(), "identity", "audit", "--fail-on", "fork"); r.Code != 1 || !strings.Contains(r.Output, "history") {
			return fmt.Errorf("no agent reports the fork: exit %d\n%s", r.Code, r.Output)
		}
		return nil
	})
	holds(t, l, probe{from: "reader", url: books, want: 200})
}

// recorded are the entries of the ledger.
func recorded(t *testing.T, l *lab.Lab) (entries []json.RawMessage) {
	t.Helper()
	r := l.Ensign(t.Context(), "audit", "list", "--limit", "100000", "-o", "json")
	if err := json.Unmarshal([]byte(r.Output), &entries); err != nil || len(entries) == 0 {
		t.Fatalf("%v: %s", err, r.Output)
	}
	return entries
}

// replaceLedger puts the ledger's files of one data folder in the place of another's.
func replaceLedger(t *testing.T, to, from string) {
	t.Helper()
	for _, folder := range []string{to, from} {
		files, err := filepath.Glob(filepath.Join(folder, "ledger.db*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no ledger in %s: %v", folder, err)
		}
		for _, file := range files {
			if folder == to {
				err = os.Remove(file)
			} else {
				err = os.Rename(file, filepath.Join(to, filepath.Base(file)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
