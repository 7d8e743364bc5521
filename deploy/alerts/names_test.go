package alerts

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

var (
	metricName = regexp.MustCompile(`ensign_[a-z_]+`)
	labelValue = regexp.MustCompile(`[a-z]+(?:=|!=|=~)"([^"]+)"`)
	// fields are what Prometheus fills in; nothing else is used of its templates.
	fields   = regexp.MustCompile(`\{\{ \$(?:value(?: \| humanize(?:Duration)?)?|labels\.([a-z]+)) \}\}`)
	runbooks = regexp.MustCompile(`^docs/runbooks/[a-z0-9-]+\.md$`)
)

// code is all Go text of the tree that is in our programs.
func code(t *testing.T, tree string) string {
	t.Helper()
	var all strings.Builder
	for _, top := range []string{"authz", "ca", "identity", "internal", "mesh", "sds", "xds"} {
		err := filepath.WalkDir(filepath.Join(tree, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// TestRulesNameWhatTheCodeHas: a metric or a label's value that is renamed in the code
// would silence its alert, and nobody would hear of it.
func TestRulesNameWhatTheCodeHas(t *testing.T) {
	all := code(t, need.Tree(t))
	for _, r := range rules(t) {
		for _, name := range metricName.FindAllString(r.Expr, -1) {
			if !strings.Contains(all, `"`+name+`"`) {
				t.Errorf("%s asks for %s, which no code has", r.Alert, name)
			}
		}
		for _, found := range labelValue.FindAllStringSubmatch(r.Expr, -1) {
			for value := range strings.SplitSeq(found[1], "|") {
				if value != "true" && !strings.Contains(all, `"`+value+`"`) {
					t.Errorf("%s asks for a label %q, which no code has", r.Alert, value)
				}
			}
		}
	}
}

// TestAlertsSayWhatToDo: each has a severity, words, and a runbook that is there if it
// names one.
func TestAlertsSayWhatToDo(t *testing.T) {
	tree := need.Tree(t)
	for _, r := range rules(t) {
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s has severity %q", r.Alert, severity)
		}
		for _, key := range []string{"summary", "description"} {
			if text := r.Annotations[key]; text == "" || strings.Contains(fields.ReplaceAllString(text, ""), "{{") {
				t.Errorf("%s: %s %q", r.Alert, key, text)
			}
		}
		for _, found := range fields.FindAllStringSubmatch(r.Annotations["description"], -1) {
			if label := found[1]; label != "" && label != "instance" && !strings.Contains(strings.Join(samplesOf(r), " "), label+`="`) {
				t.Errorf("%s describes a label %q that its series lack", r.Alert, label)
			}
		}
		if book, named := r.Annotations["runbook"]; named {
			if _, err := os.Stat(filepath.Join(tree, book)); err != nil || !runbooks.MatchString(book) {
				t.Errorf("%s names the runbook %q: %v", r.Alert, book, err)
			}
		}
	}
}

// samplesOf are the series of a healthy mesh that a rule asks for.
func samplesOf(r rule) []string {
	var found []string
	for series := range healthy {
		if strings.Contains(r.Expr, strings.Split(series, "{")[0]) {
			found = append(found, series)
		}
	}
	return found
}
