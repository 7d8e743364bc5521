package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// asDemo makes the test binary the demo itself.
const asDemo = "ENSIGN_TEST_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCtrlCLeavesNothingBehind(t *testing.T) {
	need.Root(t)
	tree := need.Tree(t)
	out := t.TempDir()
	cmd := exec.Command(os.Args[0], "-bin", need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop"),
		"-manifests", filepath.Join(tree, "examples", "bookshop", "manifests"), "-out", out)
	cmd.Env = append(os.Environ(), asDemo+"=1", "ENSIGN_ENVOY="+need.Envoy(t))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	mine := func() string {
		return ours(t, cmd.Process.Pid)
	}
	// In the middle of bringing pods up.
	for range 200 {
		if strings.Contains(mine(), "-reader") {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if mine() == "" {
		t.Fatalf("the demo made no namespace:\n%s", &said)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want exit code 1\n%s", err, &said)
	}
	if left := mine(); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// ours is every namespace and process of the lab that a process made.
func ours(t *testing.T, pid int) string {
	t.Helper()
	var found strings.Builder
	prefix := "ensign-" + strconv.Itoa(pid) + "a-"
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if strings.HasPrefix(line, prefix) {
			found.WriteString(line)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if line, _ := os.ReadFile(p); strings.Contains(string(line), "ensign-lab-"+strconv.Itoa(pid)+"a") {
			found.WriteString(strings.ReplaceAll(string(line), "\x00", " ") + "\n")
		}
	}
	return found.String()
}

func TestAStepThatDoesNotHoldIsSaidAndCounted(t *testing.T) {
	var out bytes.Buffer
	v := newVoice(&out)
	r := &report{Steps: []step{
		v.chapter(t.Context(), nil, 1, chapter{"good", func(_ context.Context, s *scene) (string, error) {
			s.note("ls", strings.Repeat("line\n", 40))
			return "it is so", nil
		}}),
		v.chapter(t.Context(), nil, 2, chapter{"bad", func(context.Context, *scene) (string, error) { return "", errors.New("it is not so") }}),
	}}
	if r.failed() != 1 || r.Steps[0].Verdict != holds || r.Steps[1].Reason != "it is not so" {
		t.Errorf("%+v", r.Steps)
	}
	for _, want := range []string{"  $ ls\n", "more lines in the report", "=> holds: it is so", "=> does not hold: it is not so"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if got := r.Steps[0].Commands; len(got) != 1 || strings.Count(got[0].Output, "line") != 40 {
		t.Errorf("the report has not the whole output: %v", got)
	}
}

func TestSinceClockPassesMidnight(t *testing.T) {
	for _, test := range []struct {
		start, line string
		want        time.Duration
	}{
		{"2026-11-21T10:00:00.900Z", "10:00:01.000 request 2", 100 * time.Millisecond},
		{"2026-11-21T23:59:59.950Z", "00:00:00.050 request 9", 100 * time.Millisecond},
	} {
		start, err := time.Parse(time.RFC3339Nano, test.start)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sinceClock(start, test.line); err != nil || got != test.want {
			t.Errorf("%s to %q: %s, %v", test.start, test.line, got, err)
		}
	}
}

func TestLiveLinesBearTheirTime(t *testing.T) {
	var out bytes.Buffer
	c := &clocked{out: &out, began: time.Now().Add(-1500 * time.Millisecond), fresh: true}
	for _, part := range []string{"pre", "paring\nretir", "ing\n"} {
		if n, err := c.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "      1.5 s  preparing\n      1.5 s  retiring\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestDecodeTellsWhatACommandSaid(t *testing.T) {
	var into map[string]int
	if err := decode(lab.Result{Line: "x", Output: `{"a":1}`}, &into); err != nil || into["a"] != 1 {
		t.Errorf("%v, %v", into, err)
	}
	for _, r := range []lab.Result{{Line: "x", Code: 1, Output: "no such"}, {Line: "x", Output: "no such"}} {
		if err := decode(r, &into); err == nil || !strings.Contains(err.Error(), "no such") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
