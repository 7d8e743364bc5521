package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runbook is one file of docs/runbooks.
type runbook struct {
	name, text string
	// commands are the lines of its console blocks, without their prompt.
	commands []string
}

func runbooks(t *testing.T) []runbook {
	t.Helper()
	files, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d runbooks, %v", len(files), err)
	}
	var all []runbook
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := runbook{name: filepath.Base(file), text: string(text)}
		for _, block := range regexp.MustCompile("(?ms)^```console( if [^\n]+)?\n(.*?)^```$").FindAllStringSubmatch(r.text, -1) {
			for l := range strings.Lines(block[2]) {
				command, ok := strings.CutPrefix(strings.TrimSuffix(l, "\n"), "$ ")
				if !ok {
					t.Errorf("%s: %q does not begin with a prompt", r.name, l)
				}
				r.commands = append(r.commands, command)
			}
		}
		if strings.Count(r.text, "```") != 2*strings.Count(r.text, "```console") {
			t.Errorf("%s has a fence that is not for the console", r.name)
		}
		all = append(all, r)
	}
	return all
}

func TestRunbooksHaveTheirFiveParts(t *testing.T) {
	for _, r := range runbooks(t) {
		if r.name == "README.md" {
			continue
		}
		var parts []string
		for _, heading := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(r.text, -1) {
			parts = append(parts, heading[1])
		}
		if got, want := strings.Join(parts, "; "), "Symptoms; What is at stake; Commands; How to see that it is over; If it is not"; got != want {
			t.Errorf("%s: %s, want %s", r.name, got, want)
		}
	}
}

// TestRunbooksExplainTheirVariables: at their top, in the README, or by setting them.
func TestRunbooksExplainTheirVariables(t *testing.T) {
	all := runbooks(t)
	var shared string
	for _, r := range all {
		if r.name == "README.md" {
			shared = r.text
		}
	}
	for _, r := range all {
		top, _, _ := strings.Cut(r.text, "## Symptoms")
		for _, command := range r.commands {
			for _, use := range regexp.MustCompile(`\$\{?([A-Za-z_]+)(:-)?`).FindAllStringSubmatch(command, -1) {
				set := regexp.MustCompile(`\b` + use[1] + `=|\bfor ` + use[1] + ` in\b`).MatchString(strings.Join(r.commands, "\n"))
				if explained := "`$" + use[1] + "`"; use[2] == "" && !set && !strings.Contains(shared, explained) && !strings.Contains(top, explained) {
					t.Errorf("%s: nobody says what $%s is: %s", r.name, use[1], command)
				}
			}
		}
	}
}

var (
	// calls of ensign in a command line, or in `code`.
	calls = regexp.MustCompile("(?m)(?:^|[ (`])ensign ((?:'[^']*'|[^;|&()<>`'\n])*)")
	words = regexp.MustCompile(`(?:'[^']*'|[^\s'])+`)
)

// TestRunbooksSpeakTheCommandLine: each verb, flag and argument that they name exists.
func TestRunbooksSpeakTheCommandLine(t *testing.T) {
	checked := 0
	for _, r := range runbooks(t) {
		text := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(r.text, "$1")
		text = regexp.MustCompile(`\$\([^()]*\)`).ReplaceAllString(text, "today")
		for _, call := range calls.FindAllStringSubmatch(text, -1) {
			var args []string
			for _, word := range words.FindAllString(call[1], -1) {
				if !strings.HasPrefix(word, "2>") && word != "2" {
					args = append(args, strings.ReplaceAll(word, "'", ""))
				}
			}
			checked++
			cmd, rest, err := newRoot().Find(args)
			if err == nil && cmd.HasSubCommands() {
				err = usagef("%s is no verb", cmd.CommandPath())
			}
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			// A verb alone, in the text, is only named.
			if err == nil && len(rest) > 0 {
				err = cmd.Args(cmd, cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: ensign %s: %v", r.name, call[1], err)
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d calls were found", checked)
	}
}
