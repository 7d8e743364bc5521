package ledger_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/ledger"
)

// killEnv tells the test binary to be the process that is killed.
const killEnv = "ENSIGN_TEST_LEDGER"

// appendForEver appends from several goroutines and prints what was answered.
func appendForEver(t *testing.T, path string) {
	l := open(t, path)
	for range 8 {
		go func() {
			for n := 0; ; n++ {
				e := svid(n)
				index, err := l.Append(t.Context(), e)
				if err != nil {
					panic(err)
				}
				fmt.Printf("answered %d %s\n", index, e.Serial)
			}
		}()
	}
	select {}
}

// runUntilKilled returns what a process answered before it was killed: a while after it
// had answered so much.
func runUntilKilled(t *testing.T, path string, least int, after time.Duration) (lines []string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillNine$")
	cmd.Env = append(os.Environ(), killEnv+"="+path)
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewReader(out); ; {
		if len(lines) == least {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		line, err := said.ReadString('\n')
		if err != nil {
			break // what is left of a line was not answered
		}
		lines = append(lines, line)
	}
	cmd.Wait()
	if errs.Len() > 0 {
		t.Fatalf("the process said: %s", errs.String())
	}
	return lines
}

// TestKillNine kills a process that appends, again and again.
func TestKillNine(t *testing.T) {
	if path := os.Getenv(killEnv); path != "" {
		appendForEver(t, path)
	}
	path := filepath.Join(t.TempDir(), "l.db")
	serials := map[string]uint64{}
	for round := range 6 {
		least := 5
		if round%3 == 0 {
			least = 0 // that one dies somewhere in its start
		}
		for _, line := range runUntilKilled(t, path, least, time.Duration(60+rand.IntN(200))*time.Millisecond) {
			var index uint64
			var serial string
			if n, _ := fmt.Sscanf(line, "answered %d %s", &index, &serial); n != 2 {
				continue
			}
			if _, twice := serials[serial]; twice {
				t.Errorf("serial %s was answered twice", serial)
			}
			serials[serial] = index
		}
		l := open(t, path)
		checkAnswered(t, l, serials)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d answered so far", round, len(serials))
	}
	if len(serials) < 10 {
		t.Errorf("only %d were answered: the test saw too little", len(serials))
	}
}

func checkAnswered(t *testing.T, l *ledger.Ledger, serials map[string]uint64) {
	t.Helper()
	found := map[string]bool{}
	for r, err := range l.Read(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Entry()
		if err != nil || found[e.Serial] {
			t.Fatalf("entry %d: serial %s again (%v)", r.Index, e.Serial, err)
		}
		found[e.Serial] = true
		if index, ok := serials[e.Serial]; ok && index != r.Index {
			t.Errorf("entry %d was answered as %d", r.Index, index)
		}
	}
	for serial, index := range serials {
		if !found[serial] {
			t.Errorf("entry %d, serial %s, was answered and is not there", index, serial)
		}
	}
	if _, err := verify(t, l); err != nil {
		t.Error(err)
	}
}
