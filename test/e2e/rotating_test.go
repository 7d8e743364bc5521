package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// rotationLab is a mesh of its own for rotations: in the other one, tests hold SVIDs
// that no agent reports, and a gate rightly waits for those.
var rotationLab struct {
	once sync.Once
	lab  *lab.Lab
	err  error
}

// rotationMesh is the bookshop beside a real Vault: seven real Envoys, one of them of a
// pod that no request passes through.
func rotationMesh(t *testing.T) *lab.Lab {
	t.Helper()
	cfg := besideVault(t, "")
	rotationLab.once.Do(func() { rotationLab.lab, rotationLab.err = openRotating(cfg) })
	if rotationLab.err != nil {
		t.Fatal(rotationLab.err)
	}
	showWhenFailed(t, rotationLab.lab)
	return rotationLab.lab
}

// besideVault is a lab with a Vault, which signs each leaf by a role if one is named.
func besideVault(t *testing.T, role string) lab.Config {
	t.Helper()
	need.Root(t)
	return lab.Config{
		Bin:       need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop"),
		Envoy:     need.Envoy(t),
		Manifests: filepath.Join(need.Tree(t), "examples", "bookshop", "manifests"),
		Vault:     lab.VaultConfig{Binary: need.Vault(t), Deploy: filepath.Join(need.Tree(t), "deploy", "vault"), Role: role},
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

// openRotating brings up the bookshop. The lab is also answered with an error, to be closed.
func openRotating(cfg lab.Config) (*lab.Lab, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l, err := lab.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := l.Apply("test-extras.yaml", extras); err != nil {
		return l, err
	}
	return l, l.AddPods(ctx, append(lab.Bookshop(), bystander("aside"))...)
}

// ownMesh is a bookshop that one test has alone, gone after it.
func ownMesh(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := openRotating(cfg)
	if l != nil {
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	showWhenFailed(t, l)
	return l
}

func showWhenFailed(t *testing.T, l *lab.Lab) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ca status:\n%s", l.Ensign(context.Background(), "ca", "status").Output)
			t.Logf("proxy status:\n%s", l.Ensign(context.Background(), "proxy", "status").Output)
			t.Logf("ensignd's log ends:\n%s", l.Control.Process().Tail())
		}
	})
}

// bystander is a pod that no request passes through.
func bystander(name string) lab.PodSpec {
	return lab.PodSpec{Name: name, Namespace: "stock", Account: "mover-a", Sidecar: true, Port: 9080,
		App: []string{"bookshop", "serve", "--service", name, "--listen", ":9080"}}
}

func status(t *testing.T, l *lab.Lab) lab.Authority {
	t.Helper()
	a, err := l.Authority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rotated runs one rotation to its end, with something done meanwhile, prints its
// course, and wants it completed under another root.
func rotated(t *testing.T, l *lab.Lab, meanwhile func(), args ...string) lab.Authority {
	t.Helper()
	before := status(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	last := ""
	if before.Rotation != nil {
		last = before.Rotation.ID
	}
	courses, failed := make(chan lab.Course, 1), make(chan error, 1)
	go func() {
		course, err := l.Watch(ctx, last, nil)
		courses <- course
		failed <- err
	}()
	if r := l.Ensign(ctx, append([]string{"ca"}, args...)...); r.Code != 0 {
		t.Fatalf("exit %d:\n%s", r.Code, r.Output)
	}
	if meanwhile != nil {
		meanwhile()
	}
	course, err := <-courses, <-failed
	t.Logf("course, %.1f s:\n%s", course.Took().Seconds(), course)
	if err != nil {
		t.Fatalf("the rotation does not end: %v\n%s", err, l.Ensign(t.Context(), "ca", "status").Output)
	}
	now := status(t, l)
	if now.Rotation.Outcome != "completed" || now.Signing().Fingerprint == before.Signing().Fingerprint {
		t.Errorf("the rotation has %s, and %s signs, after %s", now.Rotation.Outcome, now.Signing().Name, before.Signing().Name)
	}
	onlyRoot(t, l, now)
	return now
}

// reaches waits until the rotation has entered a step, now or before.
func reaches(t *testing.T, l *lab.Lab, step string) {
	t.Helper()
	verbs := map[string]string{"preparing": "begin", "distributing": "distribute", "activating": "activate", "retiring": "retire"}
	// The steps before it may each take as long as one change.
	within(t, 4*settled, func() error {
		a, err := l.Authority(t.Context())
		if err != nil {
			return err
		}
		for _, event := range a.Rotation.Timeline {
			if event.Verb == verbs[step] {
				return nil
			}
		}
		return fmt.Errorf("the rotation is at %s", a.Rotation.Step)
	})
}

// onlyRoot wants every Envoy to trust this root and no other, and to live on it.
func onlyRoot(t *testing.T, l *lab.Lab, a lab.Authority) {
	t.Helper()
	for _, root := range a.Roots {
		if root.Trusted != root.Signing {
			t.Errorf("root %s: trusted %t, signing %t", root.Name, root.Trusted, root.Signing)
		}
	}
	want := "" // the serial of the root, as Envoy writes it
	for _, p := range l.Sidecars() {
		roots, err := p.TrustedRoots(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(roots) != 1 || (want != "" && roots[0] != want) {
			t.Errorf("the Envoy of %s trusts %v, want one root, %s", p.Name, roots, want)
			continue
		}
		want = roots[0]
	}
}

// underLoad runs requests over fresh and kept connections, 200 a second, while act
// runs, and wants an honest zero. Envoys keep their connections to each other too, but
// for those to the catalog: each request there is a handshake.
func underLoad(t *testing.T, l *lab.Lab, act func(), excused ...string) {
	t.Helper()
	apply(t, l, handshakes)
	inForce(t, l)
	holds(t, l, probe{from: "reader", url: lab.BookURL, want: 200})
	zero, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := contextWithStop(t)
	reports := make(chan load.Report, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := l.Pod("reader").Load(ctx, load.Plan{URL: lab.BookURL, Fresh: fresh, Workers: 8, Rate: 100, For: 5 * time.Minute})
			if err != nil {
				t.Error(err)
			}
			reports <- r
		}()
	}
	time.Sleep(500 * time.Millisecond)
	act()
	time.Sleep(time.Second)
	stop()
	both := []load.Report{<-reports, <-reports}
	noneFailed(t, l, zero, both, excused...)
	shookHands(t, l, zero, both)
	ledgerHolds(t, l)
}

// keepsWaiting wants the gate of distributing to wait for one instance and nobody else,
// for a reason that holds some words, and the rotation to stay there.
func keepsWaiting(t *testing.T, l *lab.Lab, name, words string) {
	t.Helper()
	eventually(t, func() error {
		gate := status(t, l).Rotation.Gate
		for _, laggard := range gate.Laggards {
			if laggard.Name == name && gate.Name == "new-bundle" && gate.Ready == gate.Instances-1 && strings.Contains(laggard.Reason, words) {
				t.Logf("named: %s", laggard.Reason)
				return nil
			}
		}
		return fmt.Errorf("gate %+v", gate)
	})
	time.Sleep(2 * time.Second)
	if got := status(t, l).Rotation.Step; got != "distributing" {
		t.Errorf("the rotation is at %s though %s keeps it waiting", got, name)
	}
}
