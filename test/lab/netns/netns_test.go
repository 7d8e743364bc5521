package netns_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// asOwner makes the test binary a process that opens a lab and is then killed.
const asOwner = "ENSIGN_TEST_LAB_OWNER"

func TestMain(m *testing.M) {
	if how := os.Getenv(asOwner); how != "" {
		own(how)
	}
	os.Exit(m.Run())
}

func own(how string) {
	n, err := netns.Open(context.Background(), netns.Config{})
	if err != nil {
		panic(err)
	}
	s, err := n.Add(context.Background(), "pod")
	if err != nil {
		panic(err)
	}
	p, err := s.Start(netns.Spec{Name: "sleeper", UID: 1000, Argv: []string{"sleep", "600"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(n.ID(), p.PID, n.Dir())
	if how == "panic" {
		panic("as a bug would")
	}
	select {}
}

func open(t *testing.T) *netns.Network {
	t.Helper()
	need.Root(t)
	n, err := netns.Open(t.Context(), netns.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func add(t *testing.T, n *netns.Network, name string) *netns.Namespace {
	t.Helper()
	s, err := n.Add(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leftovers is everything on this machine that names the lab.
func leftovers(t *testing.T, id, dir string) []string {
	t.Helper()
	var found []string
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if strings.HasPrefix(line, "ensign-"+id+"-") {
			found = append(found, "namespace "+strings.TrimSpace(line))
		}
	}
	for _, pattern := range []string{dir, "/etc/netns/ensign-" + id + "-*", "/run/ensign-lab/" + id + ".*"} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		line, _ := os.ReadFile(p)
		if strings.Contains(string(line), "ensign-"+id+"-") || strings.Contains(string(line), "ensign-lab\x00"+id) {
			found = append(found, "process "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestNamespacesReachOneAnother(t *testing.T) {
	n := open(t)
	a, b := add(t, n, "a"), add(t, n, "b")
	l, err := b.Listen(t.Context(), "0.0.0.0:80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, conn.RemoteAddr().(*net.TCPAddr).IP)
		conn.Close()
	}()
	if err := a.SetHosts(map[string]netip.Addr{"b.test": b.IP}); err != nil {
		t.Fatal(err)
	}
	conn, err := a.Dial(t.Context(), "tcp", "b.test:80")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(conn)
	if string(got) != a.IP.String() {
		t.Errorf("b saw a connection from %s, want %s", got, a.IP)
	}
	hosts, err := exec.Command("ip", "netns", "exec", a.Name, "cat", "/etc/hosts").Output()
	if err != nil || !strings.Contains(string(hosts), b.IP.String()+" b.test") {
		t.Errorf("/etc/hosts inside: %v\n%s", err, hosts)
	}
}

func TestCaptureIsProvenBeforeItIsReady(t *testing.T) {
	n := open(t)
	pod := add(t, n, "pod")
	if err := pod.Capture(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pod.CheckCapture(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][]string{
		{"iptables", "-t", "nat", "-D", "PREROUTING", "5"},
		{"iptables", "-t", "nat", "-I", "OUTPUT", "1", "-p", "tcp", "--dport", "80", "-j", "RETURN"},
	} {
		argv := pod.Command(0, damage...)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := pod.CheckCapture(t.Context()); err == nil {
			t.Errorf("rules pass for whole after %q", damage)
		}
	}
}

func TestCaptureFailsWhenAProxyIsAlreadyThere(t *testing.T) {
	n := open(t)
	pod := add(t, n, "pod")
	if _, err := pod.Listen(t.Context(), "0.0.0.0:15001"); err != nil {
		t.Fatal(err)
	}
	if err := pod.Capture(t.Context()); err == nil || !strings.Contains(err.Error(), "capture port") {
		t.Fatalf("got %v, want a refusal that names the capture port", err)
	}
}

func TestProcessRunsAsItsUserAndEndsWithItsGroup(t *testing.T) {
	n := open(t)
	pod := add(t, n, "pod")
	p, err := pod.Start(netns.Spec{Name: "shell", UID: 1000, Argv: []string{"bash", "-c", "id -u; sleep 600 & wait"}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return strings.HasPrefix(p.Tail(), "1000") })
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		left, err := exec.Command("ip", "netns", "pids", pod.Name).Output()
		return err == nil && len(left) == 0
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	n := open(t)
	pod := add(t, n, "pod")
	if err := pod.Capture(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One that does not listen to reason, and one that left its group.
	for name, script := range map[string]string{"stubborn": "trap '' TERM; sleep 600; sleep 600", "escaped": "setsid sleep 600 & sleep 600"} {
		if _, err := pod.Start(netns.Spec{Name: name, UID: 1000, Argv: []string{"bash", "-c", script}}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if len(leftovers(t, n.ID(), n.Dir())) == 0 {
		t.Fatal("the check sees nothing even while the lab is up")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, n.ID(), n.Dir()); len(left) != 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func TestNothingIsLeftByAnOwnerThatDies(t *testing.T) {
	need.Root(t)
	for _, how := range []string{"kill", "panic"} {
		t.Run(how, func(t *testing.T) {
			owner := exec.Command(os.Args[0])
			owner.Env = append(os.Environ(), asOwner+"="+how)
			out, err := owner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Start(); err != nil {
				t.Fatal(err)
			}
			var id, dir string
			var pid int
			if _, err := fmt.Fscan(bufio.NewReader(out), &id, &pid, &dir); err != nil {
				t.Fatal(err)
			}
			if how == "kill" {
				owner.Process.Kill()
			}
			owner.Wait()
			waitFor(t, func() bool { return len(leftovers(t, id, dir)) == 0 })
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
				t.Errorf("process %d of the dead lab runs on: %s", pid, stat)
			}
		})
	}
}

func TestKeptNetworkOutlivesCloseUntilSwept(t *testing.T) {
	n := open(t)
	add(t, n, "pod")
	n.Keep()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := netns.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(leftovers(t, n.ID(), n.Dir())) == 0 {
		t.Fatal("a kept network was removed")
	}
	if err := netns.Clean(t.Context(), n.ID()); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, n.ID(), n.Dir()); len(left) != 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for range 200 {
		if holds() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("not within 5 s")
}
