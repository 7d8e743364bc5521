package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// settled is how long a change may take to reach every Envoy.
const settled = 15 * time.Second

// shared is the lab of all tests; the first that needs it brings it up.
var shared struct {
	once sync.Once
	lab  *lab.Lab
	err  error
}

func TestMain(m *testing.M) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		closeShared()
		os.Exit(130)
	}()
	code := m.Run()
	closeShared()
	os.Exit(code)
}

func closeShared() {
	shared.once.Do(func() { shared.err = context.Canceled })
	rotationLab.once.Do(func() { rotationLab.err = context.Canceled })
	for _, l := range []*lab.Lab{shared.lab, rotationLab.lab} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the lab:", err)
			os.Exit(1)
		}
	}
}

// extras are accounts and services that only tests need.
const extras = `apiVersion: v1
kind: ServiceAccount
metadata: {name: impostor, namespace: stock}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: mover-a, namespace: stock}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: mover-b, namespace: stock}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: echo, namespace: stock}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: courier, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: mover, namespace: stock}
spec:
  clusterIP: 10.96.0.20
  selector: {app: mover}
  ports: [{name: http, port: 9080}]
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: stock}
spec:
  clusterIP: 10.96.0.21
  selector: {app: echo}
  ports: [{name: tcp, port: 7000}]
`

func pods() []lab.PodSpec {
	serve := func(name string) lab.PodSpec {
		return lab.PodSpec{Name: name, Namespace: "stock", Account: name, Sidecar: true, Port: 9080,
			App: []string{"bookshop", "serve", "--service", name, "--listen", ":9080"}}
	}
	a, b := serve("mover-a"), serve("mover-b")
	a.Labels = map[string]string{"app": "mover"}
	shop := lab.Bookshop()
	for i := range shop {
		// Renewed again and again, whatever the tests do.
		if shop[i].Name == "storefront" || shop[i].Name == "catalog" {
			shop[i].Agent = []string{"--svid-ttl", "20s"}
		}
	}
	courier := lab.PodSpec{Name: "courier", Namespace: "shop", Account: "courier", Sidecar: true}
	confined := lab.PodSpec{
		Name: "confined", Namespace: "stock", Account: "echo", Sidecar: true, Port: 7000, Confined: true,
		Labels: map[string]string{"app": "confined"}, App: []string{"bookshop", "echo", "--listen", ":7000"},
	}
	return append(shop, serve("impostor"), a, b, courier, confined, lab.PodSpec{
		Name: "echo", Namespace: "stock", Account: "echo", Sidecar: true, Port: 7000,
		Labels: map[string]string{"app": "echo"}, App: []string{"bookshop", "echo", "--listen", ":7000"},
	})
}

// mesh is the shared lab. When the test fails, the ends of the logs are shown.
func mesh(t *testing.T) *lab.Lab {
	t.Helper()
	need.Root(t)
	cfg := lab.Config{
		Bin:       need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop"),
		Envoy:     need.Envoy(t),
		Manifests: filepath.Join(need.Tree(t), "examples", "bookshop", "manifests"),
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if shared.lab, shared.err = lab.Open(ctx, cfg); shared.err != nil {
			return
		}
		if shared.err = shared.lab.Apply("test-extras.yaml", extras); shared.err != nil {
			return
		}
		shared.err = shared.lab.AddPods(ctx, pods()...)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("proxy status:\n%s", shared.lab.Ensign(context.Background(), "proxy", "status").Output)
			t.Logf("ensignd's log ends:\n%s", shared.lab.Control.Process().Tail())
			for _, pod := range []string{"courier", "echo"} {
				t.Logf("the log of the agent of %s ends:\n%s", pod, shared.lab.Pod(pod).Agent().Tail())
			}
		}
	})
	return shared.lab
}

// apply writes a manifest for the length of a test.
func apply(t *testing.T, l *lab.Lab, text string) {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())) + ".yaml"
	if err := l.Apply(name, text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Apply(name, ""); err != nil {
			t.Error(err)
		}
	})
}

// inForce waits until what was written has been read and acknowledged by all.
func inForce(t *testing.T, l *lab.Lab) {
	t.Helper()
	// ensignd waits 100 ms for a folder to come to rest.
	time.Sleep(300 * time.Millisecond)
	allSynced(t, l)
}

// eventually waits until check is content, and fails with its last complaint.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	within(t, settled, check)
}

// within is eventually with another limit.
func within(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// manifest is one of the bookshop's own files.
func manifest(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(need.Tree(t), "examples", "bookshop", "manifests", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
