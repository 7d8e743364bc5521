package connections

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ensign-mesh/ensign/internal/need"
)

const (
	// envRights has this test's own binary give up rights and choose a method.
	envRights = "CONNECTIONS_TEST_RIGHTS"
	nobody    = 65534
)

// The method is the best that the process's rights allow. The rights are real: a
// child gives up its user (and with it CAP_NET_ADMIN), takes a seccomp filter as
// container runtimes have it, or looks at another user's process.
func TestMethodFollowsTheRights(t *testing.T) {
	if rights := os.Getenv(envRights); rights != "" {
		chooseWith(t, rights)
		return
	}
	need.Root(t)
	for rights, want := range map[string]Method{
		"root":                 MethodPIDFD,
		"user":                 MethodPIDFD,
		"root,seccomp":         MethodDestroy,
		"root,unseen":          MethodDestroy,
		"user,seccomp":         MethodDrain,
		"user,another's envoy": MethodDrain,
		"user,unseen":          MethodDrain,
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMethodFollowsTheRights$", "-test.v")
		cmd.Env = append(os.Environ(), envRights+"="+rights)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "method: "+string(want)+"\n") {
			t.Errorf("with %s, want %s: %v\n%s", rights, want, err, out)
		}
	}
}

// chooseWith is the child.
func chooseWith(t *testing.T, rights string) {
	envoy := 0
	if strings.Contains(rights, "another's") {
		envoy = standIn(t)
	}
	if strings.Contains(rights, "seccomp") {
		forbidCopies(t)
	}
	if strings.HasPrefix(rights, "user") {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			t.Fatal(err)
		}
	}
	if envoy == 0 && !strings.Contains(rights, "unseen") {
		envoy = standIn(t)
	}
	diag, err := openSockDiag()
	c, why := chooseMethod(envoy, diag, err)
	defer c.release()
	if (why == nil) == (c.method == MethodDrain) {
		t.Errorf("%s for the reason %v", c.method, why)
	}
	t.Logf("%v", why)
	os.Stdout.WriteString("method: " + string(c.method) + "\n")
}

// standIn is a process of the present user that holds a socket.
func standIn(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("sleep", "60")
	cmd.Dir, cmd.ExtraFiles, cmd.SysProcAttr = "/", []*os.File{file}, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Root's own does not obey the user that this process is by the end.
	t.Cleanup(func() {
		if cmd.Process.Kill() == nil {
			cmd.Wait()
		}
	})
	return cmd.Process.Pid
}

// forbidCopies has pidfd_getfd answer EPERM in all threads of this process.
func forbidCopies(t *testing.T) {
	t.Helper()
	const errno, allow = 0x00050000, 0x7fff0000 // SECCOMP_RET_*
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_PIDFD_GETFD},
		{Code: unix.BPF_RET | unix.BPF_K, K: errno | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const setFilter, allThreads = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	if _, _, code := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&program))); code != 0 {
		t.Fatal(code)
	}
}
