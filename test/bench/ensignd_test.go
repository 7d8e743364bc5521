package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ensign-mesh/ensign/ca/keystore"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/daemon"
)

// ensigndProcess makes this test binary ensignd itself, so that what it takes can be
// told from what its clients take. It ends with its standard input.
const ensigndProcess = "ENSIGN_BENCH_ENSIGND"

func runEnsignd() int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return daemon.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// ensignd is a whole control plane in a process of its own.
type ensignd struct {
	address string // of 15012
	data    string
	admin   ensignv1.AdminServiceClient
	pid     int

	argv []string
	cmd  *exec.Cmd
	end  func() // orderly
	log  *tail
}

// startEnsignd runs ensignd over a folder of manifests until the test ends.
func startEnsignd(t testing.TB, manifests string, args ...string) *ensignd {
	t.Helper()
	dir := t.TempDir()
	e := &ensignd{data: filepath.Join(dir, "data"), log: &tail{}}
	kek := filepath.Join(dir, "kek")
	if err := os.WriteFile(kek, []byte(keystore.NewKEK().Encode()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.argv = append([]string{"--manifests", manifests, "--data", e.data, "--kek", kek, "--metrics", "127.0.0.1:0", "--ledger-listen", ""}, args...)
	e.address = "127.0.0.1:0"
	e.start(t)
	t.Cleanup(func() {
		e.end()
		if t.Failed() {
			t.Logf("ensignd's log ends:\n%s", e.log)
		}
	})
	e.connect(t)
	return e
}

// start runs it on the address that it had, and returns when it is ready.
func (e *ensignd) start(t testing.TB) {
	t.Helper()
	e.cmd = exec.Command(os.Args[0], append([]string{"--listen", e.address}, e.argv...)...)
	e.cmd.Env = append(os.Environ(), ensigndProcess+"=1")
	stdin, err := e.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := e.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.pid = e.cmd.Process.Pid
	said, reading := make(chan started, 1), make(chan struct{})
	go func() { defer close(reading); e.log.read(stderr, said) }()
	e.end = sync.OnceFunc(func() {
		_ = stdin.Close()
		<-reading
		_ = e.cmd.Wait()
	})
	select {
	case s := <-said:
		if e.address != s.Listen { // who is connected reads it
			e.address = s.Listen
		}
		e.untilReady(t, s.Metrics, reading)
	case <-reading:
		t.Fatalf("ensignd ended:\n%s", e.log)
	case <-time.After(patience):
		t.Fatal("ensignd does not start")
	}
}

// restart kills it without a word, and starts it again.
func (e *ensignd) restart(t testing.TB) {
	t.Helper()
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	e.end()
	e.start(t)
}

// started is the line by which ensignd says where it listens.
type started struct{ Msg, Listen, Metrics string }

// tail keeps the last lines of a log.
type tail struct{ lines []string }

func (k *tail) read(log io.Reader, said chan<- started) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s started
		if _ = json.Unmarshal(lines.Bytes(), &s); s.Msg == "ensignd started" {
			said <- s
		}
		if s.Msg != "certificate issued" && s.Msg != "admin act" {
			k.lines = append(k.lines[max(0, len(k.lines)-40):], lines.Text())
		}
	}
}

func (k *tail) String() string { return strings.Join(k.lines, "\n") }

// untilReady asks until it is ready, or has ended.
func (e *ensignd) untilReady(t testing.TB, metrics string, ended <-chan struct{}) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatal("ensignd ended")
		default:
		}
		answer, err := http.Get("http://" + metrics + "/readyz")
		if err != nil {
			last = err.Error()
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
		last = string(text)
	}
	t.Fatalf("ensignd is not ready: %s", last)
}

func (e *ensignd) connect(t testing.TB) {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+filepath.Join(e.data, "admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	e.admin = ensignv1.NewAdminServiceClient(conn)
}

// cpu is what the process has used.
func (e *ensignd) cpu(t testing.TB) time.Duration {
	t.Helper()
	return cpuOf(t, e.pid)
}

// cpuOf is what a process has used, user and system (proc(5), stat).
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// memory is what the process holds (VmRSS), or held at most (VmHWM), in bytes.
func (e *ensignd) memory(t testing.TB, which string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, which+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib * 1024
		}
	}
	t.Fatalf("no %s of ensignd", which)
	return 0
}
