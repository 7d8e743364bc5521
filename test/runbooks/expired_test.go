package runbooks

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// shortLife is that of a root which expires under a running mesh: a busy machine must
// have brought the mesh up by then.
const shortLife = 45 * time.Second

// expired is a mesh whose root has expired.
func expired(t *testing.T) *lab.Lab {
	t.Helper()
	root := newAuthority(t, "Root CA", shortLife, nil)
	folder := cacerts(t, root)
	if err := os.Chmod(filepath.Join(folder, "ca-key.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := mesh(t, lab.Config{Daemon: []string{"--root", "imported", "--import-ca", folder}})
	populate(t, l)
	time.Sleep(time.Until(root.cert.NotAfter) + time.Second)
	if err := ask(t.Context(), l); err == nil {
		t.Fatal("a request passes though the root has expired: this test does not test what it says")
	}
	return l
}

// expiredPlay brings the bundle to the file of every agent.
func expiredPlay(l *lab.Lab) play {
	p := play{book: "root-expired", each: map[string][]string{}}
	for _, pod := range l.Sidecars() {
		p.each["$AGENT_BUNDLE"] = append(p.each["$AGENT_BUNDLE"], "AGENT_BUNDLE="+filepath.Join(pod.Dir, "bundle.pem"))
	}
	return p
}

func TestRootExpired(t *testing.T) {
	t.Parallel() // for most of the time it waits
	l := expired(t)
	expiredPlay(l).follow(t, l)
	lives(t, l, "builtin")
}

// The root expired while ensignd was down, or it was stopped since.
func TestRootExpiredAndEnsigndStopped(t *testing.T) {
	t.Parallel()
	l := expired(t)
	stop(t, l)
	p := expiredPlay(l)
	p.choose = []string{"ensignd is stopped"}
	p.follow(t, l)
	lives(t, l, "builtin")
}

// stop ends ensignd as a supervisor would.
func stop(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.Control.Process().Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := l.Control.Process().Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}
