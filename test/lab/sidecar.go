package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// AddPods brings up pods at the same time and returns when all are ready:
// capture proven, the agent's health port content, the app listening.
func (l *Lab) AddPods(ctx context.Context, specs ...PodSpec) error {
	fresh := make([]*Pod, len(specs))
	if err := each(specs, func(i int, spec PodSpec) (err error) {
		fresh[i], err = l.place(ctx, spec)
		return err
	}); err != nil {
		return err
	}
	l.mu.Lock()
	for _, p := range fresh {
		l.pods[p.Name] = p
	}
	l.mu.Unlock()
	if err := l.Sync(); err != nil {
		return err
	}
	return each(fresh, func(_ int, p *Pod) error {
		if err := p.start(ctx); err != nil {
			return fmt.Errorf("starting pod %s: %w", p.Name, err)
		}
		l.log.Info("pod is ready", "pod", p.Name, "ip", p.Net.IP)
		return nil
	})
}

// place makes the pod's network and folder.
func (l *Lab) place(ctx context.Context, spec PodSpec) (*Pod, error) {
	p := &Pod{PodSpec: spec, lab: l, ready: true, labels: spec.Labels}
	var err error
	if p.Net, err = l.Net.Add(ctx, spec.Name); err != nil {
		return nil, err
	}
	if spec.Sidecar {
		if err := p.Net.Capture(ctx); err != nil {
			return nil, err
		}
	}
	return p, p.folder()
}

func (p *Pod) start(ctx context.Context) error {
	if p.Sidecar {
		if err := p.StartAgent(ctx); err != nil {
			return err
		}
	}
	return p.startApp(ctx)
}

// StartAgent gives the pod a token and the bundle, runs ensign-agent with its
// Envoy, and returns when it says that it is ready.
func (p *Pod) StartAgent(ctx context.Context) error {
	roots, err := os.ReadFile(filepath.Join(p.lab.Control.Data, "bundle.pem"))
	if err != nil {
		return fmt.Errorf("reading the bundle that ensignd wrote: %w", err)
	}
	if err := os.WriteFile(p.bundle(), roots, 0o644); err != nil {
		return err
	}
	return p.RestartAgent(ctx)
}

func (p *Pod) bundle() string { return filepath.Join(p.Dir, "bundle.pem") }

// RestartAgent is StartAgent with the bundle that the pod has already.
func (p *Pod) RestartAgent(ctx context.Context) error {
	if err := p.RenewToken(ctx); err != nil {
		return err
	}
	return p.RunAgent(ctx)
}

// RunAgent is RestartAgent with the token that the pod has already.
func (p *Pod) RunAgent(ctx context.Context) error {
	token, bundle := filepath.Join(p.Dir, "token"), p.bundle()
	argv := append([]string{p.lab.program("ensign-agent"),
		"--control-plane", controlHost + ":15012",
		"--trust-bundle", bundle, "--token-file", token,
		"--pod", p.Namespace + "/" + p.Name, "--ip", p.Net.IP.String(),
		"--run-dir", filepath.Join(p.Dir, "run"),
		"--envoy", p.lab.program("envoy")}, p.PodSpec.Agent...)
	spec := netns.Spec{Name: p.Name + ".agent", UID: netns.ProxyUID, Argv: argv}
	if p.Confined {
		spec.UID, spec.Argv = 0, confined(argv)
	}
	process, err := p.Net.Start(spec)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.agent = process
	p.mu.Unlock()
	return untilReady(ctx, process, p.Net, "http://127.0.0.1:15021/healthz/ready")
}

// RenewToken replaces the pod's token file, as a kubelet would.
func (p *Pod) RenewToken(ctx context.Context) error {
	ttl := p.TokenTTL
	if ttl == 0 {
		ttl = 24 * time.Hour
	}
	made := filepath.Join(p.Dir, "token.new")
	// A pod that was written a moment ago may not be known yet.
	deadline := time.Now().Add(startTimeout)
	for {
		r := p.lab.Ensign(ctx, "token", "create", "--namespace", p.Namespace, "--serviceaccount", p.Account,
			"--pod", p.Name, "--ttl", ttl.String(), "--out", made)
		if r.Code == 0 {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("making a token: %s", r.Output)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := chown(made, 0o400); err != nil {
		return err
	}
	return os.Rename(made, filepath.Join(p.Dir, "token"))
}

// each runs f for all items at the same time and joins the errors.
func each[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	var all sync.WaitGroup
	for i, item := range items {
		all.Go(func() { errs[i] = f(i, item) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// uid is a stable stand-in for the UID that a cluster gives to a pod.
func uid(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%s\x00", part)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
