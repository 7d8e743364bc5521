package runbooks

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// patience is how long one command of a runbook may take.
const patience = 2 * time.Minute

// play is how one runbook is followed.
type play struct {
	book string
	// variables are those that its top explains, NAME=VALUE.
	variables []string
	// choose are the conditions that hold: blocks of others are not typed.
	choose []string
	// fails are commands, by a part of each, that must fail, and what they say then.
	fails map[string]string
	// before is what else is done, before the command that has this in it.
	before map[string]func(*lab.Shell)
}

// follow types the runbook's commands, each of which must end as its text says.
func (p play) follow(t *testing.T, l *lab.Lab) {
	t.Helper()
	shell, err := l.Control.Shell(t.TempDir(), append([]string{"WINDOW=2s"}, p.variables...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shell.Close() })
	used := map[string]bool{}
	for _, block := range readBook(t, p.book).Blocks {
		if block.If != "" {
			if used[block.If] = true; !slices.Contains(p.choose, block.If) {
				continue
			}
		}
		for _, command := range block.Commands {
			p.step(t, shell, command, used)
		}
	}
	for _, condition := range p.choose {
		if !used[condition] {
			t.Errorf("%s has no block for %q", p.book, condition)
		}
	}
	for part := range p.fails {
		if !used[part] {
			t.Errorf("%s has no command with %q", p.book, part)
		}
	}
	for part := range p.before {
		if !used[part] {
			t.Errorf("%s has no command with %q", p.book, part)
		}
	}
}

// step types one command.
func (p play) step(t *testing.T, shell *lab.Shell, command string, used map[string]bool) {
	t.Helper()
	for part, do := range p.before {
		if strings.Contains(command, part) {
			used[part] = true
			do(shell)
		}
	}
	began := time.Now()
	r := typed(t, shell, command)
	t.Logf("%.1fs $ %s\n%s", time.Since(began).Seconds(), command, r.Output)
	for part, says := range p.fails {
		if !strings.Contains(command, part) {
			continue
		}
		if used[part] = true; r.Code == 0 || !strings.Contains(r.Output, says) {
			t.Fatalf("exit %d, and it should fail and say %q: %s", r.Code, says, command)
		}
		return
	}
	if r.Code != 0 {
		t.Fatalf("exit %d: %s", r.Code, command)
	}
}

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
