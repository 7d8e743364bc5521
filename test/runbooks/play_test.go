package runbooks

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// patience is how long one command of a runbook may take.
const patience = 150 * time.Second

// play is how one runbook is followed.
type play struct {
	book string
	// variables are those that its top explains, NAME=VALUE.
	variables []string
	// choose are the conditions that hold: blocks of others are not typed.
	choose []string
	// fails are conditions of chosen blocks whose commands must fail, and what they say then.
	fails map[string]string
	// each are assignments, after each of which the command is typed that has this in it.
	each map[string][]string
	// before is what else is done before a command that has this in it, after is behind it.
	before map[string]func(*lab.Shell)
	after  map[string]func(*lab.Shell)
}

// follow types the runbook's commands, each of which must end as its text says.
func (p play) follow(t *testing.T, l *lab.Lab) {
	t.Helper()
	shell, err := l.Control.Shell(t.TempDir(), append([]string{"WINDOW=2s"}, p.variables...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, verb := range []string{"ca", "proxy"} {
				t.Logf("%s status:\n%s", verb, l.Ensign(context.Background(), verb, "status").Output)
			}
		}
		// With it goes the ensignd that it started.
		if err := shell.Close(); err != nil {
			t.Error(err)
		}
	})
	a := acting{t: t, play: p, shell: shell, used: map[string]bool{}}
	for _, block := range readBook(t, p.book).Blocks {
		if a.used[block.If] = true; block.If == "" || slices.Contains(p.choose, block.If) {
			for _, command := range block.Commands {
				a.step(block.If, command)
			}
		}
	}
	// What a play names and the book lacks was renamed there.
	parts := slices.Concat(p.choose, keys(p.fails), keys(p.each), keys(p.before), keys(p.after))
	for _, part := range parts {
		if !a.used[part] {
			t.Errorf("%s has no block or command with %q", p.book, part)
		}
	}
}

// acting is a play on its way.
type acting struct {
	t *testing.T
	play
	shell *lab.Shell
	// used are the parts that were found in the book.
	used map[string]bool
}

// step types one command, and does what is around it.
func (a acting) step(condition, command string) {
	a.t.Helper()
	a.around(a.before, command)
	assignments := []string{":"}
	for part, values := range a.each {
		if strings.Contains(command, part) {
			a.used[part], assignments = true, values
		}
	}
	for _, assignment := range assignments {
		if r := typed(a.t, a.shell, assignment); r.Code != 0 {
			a.t.Fatalf("exit %d: %s", r.Code, assignment)
		}
		began := time.Now()
		r := typed(a.t, a.shell, command)
		a.t.Logf("%.1fs $ %s\n%s", time.Since(began).Seconds(), command, r.Output)
		if says, fails := a.fails[condition]; fails {
			if r.Code == 0 || !strings.Contains(r.Output, says) {
				a.t.Fatalf("exit %d, and it should fail and say %q: %s", r.Code, says, command)
			}
		} else if r.Code != 0 {
			a.t.Fatalf("exit %d: %s", r.Code, command)
		}
	}
	a.around(a.after, command)
}

func (a acting) around(acts map[string]func(*lab.Shell), command string) {
	for part, act := range acts {
		if strings.Contains(command, part) {
			a.used[part] = true
			act(a.shell)
		}
	}
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }

func typed(t *testing.T, shell *lab.Shell, command string) lab.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := shell.Type(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readBook(t *testing.T, name string) Book {
	t.Helper()
	books, err := Read(filepath.Join(need.Tree(t), "docs", "runbooks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range books {
		if b.Name == name+".md" {
			return b
		}
	}
	t.Fatalf("there is no runbook %s", name)
	return Book{}
}
