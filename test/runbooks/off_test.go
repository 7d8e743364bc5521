package runbooks

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// Ten seconds stand for the day that SVIDs live and tokens hold.
const day = 10 * time.Second

func TestMeshOff25h(t *testing.T) {
	t.Parallel() // for most of the time it waits
	l := mesh(t, lab.Config{Daemon: []string{"--svid-ttl", day.String()}})
	specs := pods()
	for i := range specs {
		specs[i].TokenTTL = day
	}
	if err := l.AddPods(t.Context(), specs...); err != nil {
		t.Fatal(err)
	}
	passes(t, l)
	stop(t, l)
	// Some agents were stopped, others ran on into nothing.
	off := l.Pod("ratings")
	if err := off.Agent().Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(day + 2*time.Second)
	if err := ask(t.Context(), l); err == nil {
		t.Fatal("a request passes though all SVIDs have ended: this test does not test what it says")
	}
	p := play{book: "mesh-off-25h", each: map[string][]string{}}
	const make = "ensign token create"
	for _, pod := range l.Sidecars() {
		p.each[make] = append(p.each[make], "NAMESPACE="+pod.Namespace+" ACCOUNT="+pod.Account+" POD="+pod.Name+" TOKEN="+filepath.Join(pod.Dir, "token"))
	}
	p.after = map[string]func(*lab.Shell){make: func(*lab.Shell) {
		for _, pod := range l.Sidecars() {
			// The agents' user is another one.
			if err := os.Chown(filepath.Join(pod.Dir, "token"), netns.ProxyUID, netns.ProxyUID); err != nil {
				t.Fatal(err)
			}
		}
		if err := off.RunAgent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}}
	p.follow(t, l)
	lives(t, l, "builtin")
}
