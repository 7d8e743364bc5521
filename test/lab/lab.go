package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// Users of the lab's processes; the proxy's is netns.ProxyUID.
const appUID = 1000

// Config says what a lab is made of.
type Config struct {
	// Bin is the folder with ensignd, ensign-agent, ensign and bookshop.
	Bin string
	// Envoy is its binary.
	Envoy string
	// Manifests is a folder whose YAML files are copied; empty: none.
	Manifests string
	// Daemon are further arguments of ensignd.
	Daemon []string
	// DataDisk has ensignd's data folder on a disk of its own of so many bytes; 0: it has not.
	DataDisk int64
	// Vault runs one beside ensignd, which is told of it. Without a binary: none.
	Vault VaultConfig
	// Log tells what the lab does. nil: nothing.
	Log *slog.Logger
}

// Lab is a running mesh. Its methods may be called at the same time.
type Lab struct {
	Net     *netns.Network
	Control *Control
	// Vault is nil when none was asked for.
	Vault *Vault

	log *slog.Logger
	bin string
	// manifests is the folder that ensignd watches.
	manifests string

	mu   sync.Mutex
	pods map[string]*Pod
}

// Open brings up the network and the control plane, without pods.
func Open(ctx context.Context, cfg Config) (*Lab, error) {
	network, err := netns.Open(ctx, netns.Config{})
	if err != nil {
		return nil, err
	}
	l := &Lab{Net: network, log: cfg.Log, pods: map[string]*Pod{}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context, cfg Config) error {
	var err error
	if l.bin, err = collect(l.Net.Dir(), cfg.Bin, cfg.Envoy); err != nil {
		return err
	}
	l.manifests = filepath.Join(l.Net.Dir(), "manifests")
	if err := os.Mkdir(l.manifests, 0o755); err != nil {
		return err
	}
	if cfg.Manifests != "" {
		if err := l.copyManifests(cfg.Manifests); err != nil {
			return err
		}
	}
	daemon := cfg.Daemon
	if cfg.Vault.Binary != "" {
		if l.Vault, err = l.startVault(ctx, cfg.Vault); err != nil {
			return err
		}
		if !cfg.Vault.Bare {
			daemon = append(l.Vault.flags(), daemon...)
		}
	}
	l.Control, err = l.startControl(ctx, daemon, cfg.DataDisk)
	return err
}

// Close ends and removes everything, unless the network is to be kept.
func (l *Lab) Close() error { return l.Net.Close() }

// Dir is the lab's folder; it goes with Close.
func (l *Lab) Dir() string { return l.Net.Dir() }

// Pod is the pod of that name. It panics when there is none: that is a mistake
// in the caller's own list.
func (l *Lab) Pod(name string) *Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.pods[name]
	if !ok {
		panic(fmt.Sprintf("no pod %q in the lab", name))
	}
	return p
}

// Pods are all pods by name.
func (l *Lab) Pods() []*Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sortedPods(l.pods)
}

// Sidecars are the pods that have an Envoy.
func (l *Lab) Sidecars() []*Pod {
	var with []*Pod
	for _, p := range l.Pods() {
		if p.Agent() != nil {
			with = append(with, p)
		}
	}
	return with
}
