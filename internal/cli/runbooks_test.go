package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/test/runbooks"
)

func books(t *testing.T) []runbooks.Book {
	t.Helper()
	all, err := runbooks.Read("../../docs/runbooks")
	if err != nil || len(all) < 9 {
		t.Fatalf("%d runbooks, %v", len(all), err)
	}
	return all
}

func TestRunbooksHaveTheirFiveParts(t *testing.T) {
	for _, r := range books(t) {
		if r.Name == "README.md" {
			continue
		}
		var parts []string
		for _, heading := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(r.Text, -1) {
			parts = append(parts, heading[1])
		}
		if got, want := strings.Join(parts, "; "), "Symptoms; What is at stake; Commands; How to see that it is over; If it is not"; got != want {
			t.Errorf("%s: %s, want %s", r.Name, got, want)
		}
	}
}

// TestRunbooksExplainTheirVariables: at their top, in the README, or by setting them.
func TestRunbooksExplainTheirVariables(t *testing.T) {
	all := books(t)
	var shared string
	for _, r := range all {
		if r.Name == "README.md" {
			shared = r.Text
		}
	}
	for _, r := range all {
		top, _, _ := strings.Cut(r.Text, "## Symptoms")
		for _, command := range r.Commands() {
			for _, use := range regexp.MustCompile(`\$\{?([A-Za-z_]+)(:-)?`).FindAllStringSubmatch(command, -1) {
				set := regexp.MustCompile(`\b` + use[1] + `=|\bfor ` + use[1] + ` in\b`).MatchString(strings.Join(r.Commands(), "\n"))
				if explained := "`$" + use[1] + "`"; use[2] == "" && !set && !strings.Contains(shared, explained) && !strings.Contains(top, explained) {
					t.Errorf("%s: nobody says what $%s is: %s", r.Name, use[1], command)
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
	for _, r := range books(t) {
		text := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(r.Text, "$1")
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
				t.Errorf("%s: ensign %s: %v", r.Name, call[1], err)
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d calls were found", checked)
	}
}
