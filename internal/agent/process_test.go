package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
)

// script is an Envoy that does as a shell script says.
func script(t testing.TB, body string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "envoy")
	write(t, path, "#!/bin/sh\n"+body+"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// withScript is an agent's configuration whose Envoy is a script.
func withScript(t testing.TB, body string) Config {
	t.Helper()
	config := newControlPlane(t).config(t)
	config.Envoy = script(t, body)
	return config
}

func pidIn(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func alive(pid int) bool {
	_, err := startTicks(pid)
	return err == nil
}

func TestTheAgentEndsWithEnvoysCode(t *testing.T) {
	for body, want := range map[string]int{"exit 7": 7, "exit 0": 0, "kill -KILL $$": 128 + 9} {
		t.Run(body, func(t *testing.T) {
			config := withScript(t, body)
			agent := startAgent(t, config)
			select {
			case <-agent.done:
			case <-time.After(20 * time.Second):
				t.Fatal("the agent goes on without Envoy")
			}
			if agent.code != want || agent.err != nil {
				t.Errorf("ended with %d, %v; want %d", agent.code, agent.err, want)
			}
			if _, err := os.Stat(filepath.Join(config.RunDir, "envoy.pid")); !os.IsNotExist(err) {
				t.Errorf("envoy.pid: %v, want none", err)
			}
		})
	}
}

func TestEnvoyThatCannotStart(t *testing.T) {
	config := withScript(t, "exit 0")
	write(t, config.Envoy, "no script")
	agent := startAgent(t, config)
	<-agent.done
	if agent.code != 1 || agent.err == nil {
		t.Errorf("ended with %d, %v; want 1 and an error", agent.code, agent.err)
	}
}

// An Envoy waits for the first SVID; told to stop before that, the agent just ends.
func TestNoEnvoyBeforeTheFirstSVID(t *testing.T) {
	config := withScript(t, "touch $(dirname $2)/started; sleep 60")
	write(t, config.TokenFile, "wrong")
	agent := startAgent(t, config)
	time.Sleep(500 * time.Millisecond)
	agent.wait(t)
	if agent.code != 0 || agent.err != nil {
		t.Errorf("ended with %d, %v", agent.code, agent.err)
	}
	if _, err := os.Stat(filepath.Join(config.RunDir, "started")); !os.IsNotExist(err) {
		t.Error("Envoy was started without an SVID")
	}
}

// An admin port that notes what it is asked for.
func adminStub(t testing.TB, asked chan<- string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			asked <- r.URL.String()
		}
		fmt.Fprintln(w, "LIVE")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestStoppingDrainsThenEnds(t *testing.T) {
	config := withScript(t, `trap 'exit 3' TERM; echo $$ > $(dirname $2)/pid; while :; do sleep 0.05; done`)
	asked := make(chan string, 10)
	config.EnvoyAdmin, config.Drain = adminStub(t, asked), 700*time.Millisecond
	agent := startAgent(t, config)
	eventually(t, "Envoy runs", func() bool { return pidIn(filepath.Join(config.RunDir, "pid")) > 0 })
	began := time.Now()
	agent.wait(t)
	if agent.code != 3 {
		t.Errorf("ended with %d, %v; want Envoy's 3", agent.code, agent.err)
	}
	if took := time.Since(began); took < config.Drain || took > config.Drain+killAfter {
		t.Errorf("took %s, want the drain of %s and little more", took, config.Drain)
	}
	if path := <-asked; !strings.HasPrefix(path, "/drain_listeners?graceful") {
		t.Errorf("asked Envoy for %s", path)
	}
}

func TestAnEnvoyThatDoesNotEndIsKilled(t *testing.T) {
	config := withScript(t, `trap '' TERM; echo $$ > $(dirname $2)/pid; while :; do sleep 0.05; done`)
	agent := startAgent(t, config)
	eventually(t, "Envoy runs", func() bool { return pidIn(filepath.Join(config.RunDir, "pid")) > 0 })
	agent.wait(t)
	if agent.code != 128+9 {
		t.Errorf("ended with %d, want 137", agent.code)
	}
}

func TestTwoAgentsCannotShareAFolder(t *testing.T) {
	config := newControlPlane(t).config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	second := config
	second.Metrics, second.Health = need.Address(t), need.Address(t)
	code, err := Run(t.Context(), second)
	if code != 1 || err == nil || !strings.Contains(err.Error(), "another agent uses") {
		t.Errorf("%d, %v", code, err)
	}
	if !ready(config) {
		t.Error("the first agent was disturbed")
	}
}

// killed starts the program with the script, kills it without mercy, and returns
// the Envoy that is left.
func killed(t *testing.T, config Config) int {
	t.Helper()
	var logs logBuffer
	cmd := startBinary(t, config, &logs)
	pidFile := filepath.Join(config.RunDir, "pid")
	eventually(t, "Envoy runs", func() bool { return pidIn(pidFile) > 0 && recorded(config) != 0 })
	pid := pidIn(pidFile)
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if !alive(pid) {
		t.Fatal("Envoy ended with the agent")
	}
	return pid
}

func recorded(config Config) int {
	var record envoyRecord
	text, _ := os.ReadFile(filepath.Join(config.RunDir, "envoy.pid"))
	_ = json.Unmarshal(text, &record)
	return record.PID
}

const waitingScript = `echo $$ > $(dirname $2)/pid; echo x >> $(dirname $2)/starts; trap 'exit 0' TERM; while :; do sleep 0.05; done`

// TestEnvoyOutlivesAKilledAgent, and the next agent takes it over: the same
// process goes on, and is drained and ended by its new agent.
func TestEnvoyOutlivesAKilledAgent(t *testing.T) {
	config := withScript(t, waitingScript)
	pid := killed(t, config)
	agent := startAgent(t, config)
	eventually(t, "the next agent has its SVID", func() bool {
		_, text := get("http://" + config.Health + "/healthz/ready")
		return strings.Contains(text, "acknowledged")
	})
	if starts, _ := os.ReadFile(filepath.Join(config.RunDir, "starts")); len(starts) != 2 {
		t.Errorf("Envoy was started %d times, want once", len(starts)/2)
	}
	agent.wait(t)
	if alive(pid) || agent.err != nil || agent.code != 0 {
		t.Errorf("alive %t, code %d, %v: the adopted Envoy should have ended well", alive(pid), agent.code, agent.err)
	}
}

func TestAnAdoptedEnvoyThatDiesEndsTheAgent(t *testing.T) {
	config := withScript(t, waitingScript)
	pid := killed(t, config)
	var said logBuffer
	config.Logger = slog.New(slog.NewTextHandler(&said, nil))
	agent := startAgent(t, config)
	eventually(t, "the next agent takes the Envoy over", func() bool { return strings.Contains(said.String(), "taking over") })
	syscall.Kill(pid, syscall.SIGKILL)
	select {
	case <-agent.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the agent goes on")
	}
	if agent.code != unknownExit {
		t.Errorf("ended with %d", agent.code)
	}
}

// With other arguments it is another Envoy: the old one makes room first.
func TestAnOrphanOfAnotherConfigurationIsStopped(t *testing.T) {
	config := withScript(t, waitingScript)
	pid := killed(t, config)
	config.EnvoyArgs = []string{"--concurrency", "2"}
	startAgent(t, config)
	eventually(t, "a new Envoy runs", func() bool {
		now := pidIn(filepath.Join(config.RunDir, "pid"))
		return now != 0 && now != pid
	})
	if alive(pid) {
		t.Error("the old Envoy still runs")
	}
}

// A record whose number now belongs to somebody else harms nobody.
func TestAStrangerWithTheSameNumberIsLeftAlone(t *testing.T) {
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	path := filepath.Join(t.TempDir(), "envoy.pid")
	if err := writeRecord(path, stranger.Process.Pid, "hash"); err != nil {
		t.Fatal(err)
	}
	found, command, err := orphan(path)
	if found == nil || command != "hash" || err != nil {
		t.Fatalf("%v, %q, %v: the true record was not believed", found, command, err)
	}
	var record envoyRecord
	text, _ := os.ReadFile(path)
	for name, change := range map[string]func(*envoyRecord){
		"started later": func(r *envoyRecord) { r.Started++ }, "of another boot": func(r *envoyRecord) { r.Boot = "x" },
		"another binary": func(r *envoyRecord) { r.Inode++ }, "gone": func(r *envoyRecord) { r.PID = 1 << 22 },
	} {
		json.Unmarshal(text, &record)
		change(&record)
		changed, _ := json.Marshal(record)
		write(t, path, string(changed))
		if found, _, err := orphan(path); found != nil || err != nil {
			t.Errorf("%s: %v, %v; want none", name, found, err)
		}
	}
	for _, bad := range []string{"", "x", `{"pid":0}`, `{"pid":1}`, `{"pid":-5}`} {
		write(t, path, bad)
		if found, _, err := orphan(path); found != nil || err == nil {
			t.Errorf("%q: %v, %v; want an error", bad, found, err)
		}
	}
}

func TestTheUsersArgumentsReplaceOurs(t *testing.T) {
	if short := newCommand("envoy", "b", drainTime(false), nil).args; !slices.Contains(short, "5") {
		t.Errorf("where only draining ends connections, Envoy gets %v", short)
	}
	plain := newCommand("envoy", "b", drainTime(true), nil).args
	if !slices.Equal(plain, []string{"-c", "b", "--disable-hot-restart", "--drain-strategy", "immediate", "--drain-time-s", "45"}) {
		t.Errorf("%v", plain)
	}
	own := newCommand("envoy", "b", "45", []string{"--drain-time-s=1", "--drain-strategy", "gradual", "-l", "info"}).args
	if !slices.Equal(own, []string{"-c", "b", "--disable-hot-restart", "--drain-time-s=1", "--drain-strategy", "gradual", "-l", "info"}) {
		t.Errorf("%v", own)
	}
}

// The program passes signals on: SIGTERM, Ctrl-C and a
// closed terminal drain and end Envoy.
func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP} {
		config := withScript(t, `trap 'exit 5' TERM; echo $$ > $(dirname $2)/pid; while :; do sleep 0.05; done`)
		var logs logBuffer
		cmd := startBinary(t, config, &logs)
		eventually(t, "Envoy runs", func() bool { return recorded(config) > 0 })
		eventually(t, "Envoy listens to signals", func() bool { return pidIn(filepath.Join(config.RunDir, "pid")) > 0 })
		// A Ctrl-C goes to the whole group of a terminal: Envoy is not in ours.
		if group, err := syscall.Getpgid(recorded(config)); err != nil || group != recorded(config) {
			t.Errorf("Envoy %d is in group %d, %v", recorded(config), group, err)
		}
		cmd.Process.Signal(signal)
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			cmd.Process.Kill()
			t.Fatalf("%s does not end the program", signal)
		}
		if code := cmd.ProcessState.ExitCode(); code != 5 {
			t.Errorf("after %s it ended with %d, want Envoy's 5\n%s", signal, code, logs.String())
		}
		left, _ := filepath.Glob(filepath.Join(config.RunDir, "*.sock"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A core file would hold the key: there is none, of the agent and of Envoy.
func TestNoCoreFiles(t *testing.T) {
	config := withScript(t, waitingScript)
	var logs logBuffer
	cmd := startBinary(t, config, &logs)
	eventually(t, "Envoy runs", func() bool { return recorded(config) > 0 })
	for _, pid := range []int{cmd.Process.Pid, recorded(config)} {
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
			t.Errorf("%v\n%s", err, limits)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}

func TestARunFolderOthersMayWriteToIsClosed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := takeRunDir(dir, filepath.Join(dir, "agent.lock"), testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
}
