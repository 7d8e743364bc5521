package daemon

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/program"
)

// itself names the variable with the arguments of an ensignd that a test runs as a process
// of its own, a line for each.
const itself = "ENSIGN_TEST_ENSIGND"

// noRoom is what is said of a full disk.
const noRoom = "is full: make room there"

// TestAKilledEnsigndStartsOnAFullDisk: it is killed without a word, the disk fills up, and
// the next start answers people and says what is wrong. It issues nothing that it cannot
// record, and goes on by itself when there is room.
func TestAKilledEnsigndStartsOnAFullDisk(t *testing.T) {
	if args := os.Getenv(itself); args != "" {
		os.Exit(Main(context.Background(), strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	need.Root(t)
	dir := t.TempDir()
	disk := smallDisk(t, filepath.Join(dir, "data"))
	p, running := startOther(t, dir)
	p.untilReady()
	u := enroll(p, "web-1", true)
	if err := running.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Fill(); err != nil {
		t.Fatal(err)
	}
	p, _ = startOther(t, dir)
	full := p.until("told of the disk", func(a *ensignv1.Authority) bool { return strings.Contains(a.Issuer.GetProblem(), noRoom) })
	if signing(full).Fingerprint != u.root() || full.Issuer.Serial == "" {
		t.Errorf("it has forgotten its root or its issuer: %v", full)
	}
	u.of = p
	if err := u.get(t.Context()); err == nil {
		t.Error("an SVID is issued that the ledger has not")
	}
	if answer := readyz(t, p); !strings.Contains(answer, noRoom) {
		t.Errorf("readiness: %s", answer)
	}
	if _, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Window: durationpb.New(1e9)}); err == nil || !strings.Contains(err.Error(), noRoom) {
		t.Errorf("a rotation begins: %v", err)
	}
	if err := disk.Empty(); err != nil {
		t.Fatal(err)
	}
	p.untilReady() // and so with a certificate of its own, which has to be recorded, too
	if err := u.get(t.Context()); err != nil || u.root() != signing(full).Fingerprint {
		t.Errorf("with room again: %v, and the pod lives on %s", err, u.root())
	}
}

// TestAFullDiskIsNamedAtTheStart where there is no room for what SQLite needs to read.
func TestAFullDiskIsNamedAtTheStart(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	disk := smallDisk(t, filepath.Join(dir, "data"))
	startProcess(t, dir).stop()
	if err := disk.Fill(); err != nil {
		t.Fatal(err)
	}
	_, args := newProcess(t, dir)
	said := &transcript{}
	if code := Main(t.Context(), args, said, said); code == 0 || !strings.Contains(said.String(), noRoom+", and start again") {
		t.Errorf("exit %d: %s", code, said)
	}
	if err := disk.Empty(); err != nil {
		t.Fatal(err)
	}
	startProcess(t, dir).stop()
}

// startOther runs ensignd as a process of its own, which ends with the test, or killed.
func startOther(t *testing.T, dir string) (*process, *program.Program) {
	t.Helper()
	p, args := newProcess(t, dir)
	t.Setenv(itself, strings.Join(args, "\n"))
	return p, program.Start(t, os.Args[0], "-test.run", "^"+t.Name()+"$")
}

// smallDisk is a folder on a disk of its own, until the test ends.
func smallDisk(t *testing.T, dir string) *lab.Disk {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &lab.Disk{Dir: dir}
}

// readyz is what ensignd says of itself.
func readyz(t *testing.T, p *process) string {
	t.Helper()
	answer, err := http.Get("http://" + p.metrics + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode == http.StatusOK {
		t.Errorf("%s, %v", answer.Status, err)
	}
	return string(text)
}
