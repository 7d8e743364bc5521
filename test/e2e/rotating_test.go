package e2e

import (
	"context"
	"encoding/json"
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

// rotationMesh is the bookshop alone: six real Envoys, a pod that no request passes
// through among them.
func rotationMesh(t *testing.T) *lab.Lab {
	t.Helper()
	need.Root(t)
	cfg := lab.Config{
		Bin:       need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop"),
		Envoy:     need.Envoy(t),
		Manifests: filepath.Join(need.Tree(t), "examples", "bookshop", "manifests"),
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	rotationLab.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if rotationLab.lab, rotationLab.err = lab.Open(ctx, cfg); rotationLab.err != nil {
			return
		}
		if rotationLab.err = rotationLab.lab.Apply("test-extras.yaml", extras); rotationLab.err != nil {
			return
		}
		rotationLab.err = rotationLab.lab.AddPods(ctx, append(lab.Bookshop(), bystander("aside"))...)
	})
	if rotationLab.err != nil {
		t.Fatal(rotationLab.err)
	}
	l := rotationLab.lab
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ca status:\n%s", l.Ensign(context.Background(), "ca", "status").Output)
			t.Logf("proxy status:\n%s", l.Ensign(context.Background(), "proxy", "status").Output)
			t.Logf("ensignd's log ends:\n%s", l.Control.Process().Tail())
		}
	})
	return l
}

// bystander is a pod that no request passes through.
func bystander(name string) lab.PodSpec {
	return lab.PodSpec{Name: name, Namespace: "stock", Account: "mover-a", Sidecar: true, Port: 9080,
		App: []string{"bookshop", "serve", "--service", name, "--listen", ":9080"}}
}

// authority is what these tests read of `ensign ca status -o json`.
type authority struct {
	Roots []struct {
		SHA256  string `json:"sha256"`
		Place   string `json:"place"`
		Trusted bool   `json:"trusted"`
		Signing bool   `json:"signing"`
	} `json:"roots"`
	Bundle   string `json:"bundle_sha256"`
	Rotation *struct {
		ID      string `json:"id"`
		Outcome string `json:"outcome"`
		Step    string `json:"step"`
		Problem string `json:"problem"`
		Gate    struct {
			Name      string `json:"name"`
			Instances int    `json:"instances"`
			Ready     int    `json:"ready"`
			Laggards  []struct {
				Name   string `json:"name"`
				Reason string `json:"reason"`
			} `json:"laggards"`
		} `json:"gate"`
		Timeline []event `json:"timeline"`
	} `json:"rotation"`
}

type event struct {
	Time time.Time `json:"time"`
	Verb string    `json:"verb"`
}

func status(t *testing.T, l *lab.Lab) authority {
	t.Helper()
	a, err := statusOf(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func statusOf(ctx context.Context, l *lab.Lab) (a authority, err error) {
	r := l.Ensign(ctx, "ca", "status", "-o", "json")
	if err := json.Unmarshal([]byte(r.Output), &a); err != nil {
		return a, fmt.Errorf("reading ca status: %w: %s", err, r.Output)
	}
	return a, nil
}

// signing is the fingerprint of the root that signs.
func (a authority) signing() string {
	for _, root := range a.Roots {
		if root.Signing {
			return root.SHA256
		}
	}
	return ""
}

// step is where the rotation stands; "" if there never was one.
func (a authority) step() string {
	if a.Rotation == nil {
		return ""
	}
	return a.Rotation.Step
}

// rotate begins a rotation and does not wait for it.
func rotate(t *testing.T, l *lab.Lab, args ...string) {
	t.Helper()
	if r := l.Ensign(t.Context(), append([]string{"ca", "rotate", "root"}, args...)...); r.Code != 0 {
		t.Fatalf("exit %d:\n%s", r.Code, r.Output)
	}
}

// ended waits until no rotation runs, and wants this outcome.
func ended(t *testing.T, l *lab.Lab, outcome string) authority {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		// ensignd may be away for a moment: some tests kill it.
		a, err := statusOf(t.Context(), l)
		if err == nil && a.Rotation != nil && a.Rotation.Outcome != "running" {
			if a.Rotation.Outcome != outcome {
				t.Errorf("the rotation has %s, want %s", a.Rotation.Outcome, outcome)
			}
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rotation does not end: %v\n%s", err, l.Ensign(t.Context(), "ca", "status").Output)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// reaches waits until the rotation has entered a step, now or before.
func reaches(t *testing.T, l *lab.Lab, step string) {
	t.Helper()
	verbs := map[string]string{"preparing": "begin", "distributing": "distribute", "activating": "activate", "retiring": "retire"}
	eventually(t, func() error {
		a, err := statusOf(t.Context(), l)
		if err != nil {
			return err
		}
		for _, event := range a.Rotation.Timeline {
			if event.Verb == verbs[step] {
				return nil
			}
		}
		return fmt.Errorf("the rotation is at %s", a.step())
	})
}

// onlyRoot wants every Envoy to trust this root and no other, and to live on it.
func onlyRoot(t *testing.T, l *lab.Lab, a authority) {
	t.Helper()
	for _, root := range a.Roots {
		if root.Trusted != root.Signing {
			t.Errorf("root %s: trusted %t, signing %t", root.SHA256, root.Trusted, root.Signing)
		}
	}
	want := "" // the serial of the root, as Envoy writes it
	for _, p := range l.Sidecars() {
		roots, err := trustedBy(t.Context(), p)
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

// trustedBy is the serials of the CAs that an Envoy checks its peers against.
func trustedBy(ctx context.Context, p *lab.Pod) ([]string, error) {
	answer, err := p.Get(ctx, "http://127.0.0.1:15000/certs")
	if err != nil {
		return nil, err
	}
	var page struct {
		Certificates []struct {
			CA []struct {
				Serial string `json:"serial_number"`
			} `json:"ca_cert"`
		} `json:"certificates"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return nil, fmt.Errorf("reading the certificates of %s: %w", p.Name, err)
	}
	seen := map[string]bool{}
	var serials []string
	for _, c := range page.Certificates {
		for _, authority := range c.CA {
			if !seen[authority.Serial] {
				seen[authority.Serial] = true
				serials = append(serials, authority.Serial)
			}
		}
	}
	return serials, nil
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
	noneFailed(t, l, zero, []load.Report{<-reports, <-reports}, excused...)
	after, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := after.Since(zero)["catalog"]["ssl.handshake"]; n < 100 {
		t.Errorf("%d handshakes with the catalog: this test does not test what it says", n)
	}
	ledgerHolds(t, l)
}

// timeline is a rotation's steps and how long each took.
func timeline(a authority) string {
	var text strings.Builder
	for i, event := range a.Rotation.Timeline {
		fmt.Fprintf(&text, "%-12s %s", event.Verb, event.Time.Format(time.RFC3339))
		if i > 0 {
			fmt.Fprintf(&text, "  +%s", event.Time.Sub(a.Rotation.Timeline[i-1].Time))
		}
		text.WriteByte('\n')
	}
	return text.String()
}
