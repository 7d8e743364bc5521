package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// prefix starts the name of every namespace; reap.sh knows it too.
const prefix = "ensign-"

// Gateway is the bridge's own address in Subnet.
var (
	Subnet  = netip.MustParsePrefix("10.77.0.0/16")
	Gateway = netip.MustParseAddr("10.77.0.1")
)

// Config says where a network keeps its files.
type Config struct {
	// Dir holds logs and whatever the caller adds. Empty: a new folder under
	// the system's temporary one. It is removed by Close.
	Dir string
}

// Network is one bridge and the namespaces on it. Its methods may be called at
// the same time from several goroutines.
type Network struct {
	id    string
	dir   string
	home  *os.File // the namespace that this process came from
	guard *guard
	hub   *Namespace

	mu     sync.Mutex
	spaces map[string]*Namespace
	next   netip.Addr
	kept   bool
	closed bool
}

var opened atomic.Int32

// Open makes an empty network, after removing those whose owner is dead.
func Open(ctx context.Context, cfg Config) (*Network, error) {
	if err := Sweep(ctx); err != nil {
		return nil, fmt.Errorf("removing what dead labs left: %w", err)
	}
	n := &Network{
		id:     fmt.Sprintf("%d%c", os.Getpid(), 'a'+rune(opened.Add(1)-1)),
		spaces: map[string]*Namespace{},
		next:   Gateway,
	}
	if err := n.prepare(cfg); err != nil {
		return nil, err
	}
	if err := n.makeHub(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Network) prepare(cfg Config) (err error) {
	if n.home, err = os.Open("/proc/self/ns/net"); err != nil {
		return fmt.Errorf("opening this process's network namespace: %w", err)
	}
	if n.dir = cfg.Dir; n.dir == "" {
		n.dir = filepath.Join(os.TempDir(), "ensign-lab-"+n.id)
	}
	if err := os.MkdirAll(n.Logs(), 0o755); err != nil {
		return fmt.Errorf("making the lab's folder: %w", err)
	}
	if err := writeState(state{ID: n.id, Owner: os.Getpid(), Start: startTime(os.Getpid()), Dir: n.dir}); err != nil {
		return err
	}
	n.guard, err = startGuard(n.id, n.dir)
	return err
}

func (n *Network) makeHub(ctx context.Context) (err error) {
	if n.hub, err = n.open(ctx, "hub"); err != nil {
		return err
	}
	n.hub.IP = Gateway
	return batch(ctx, n.hub.Name,
		"link set lo up",
		"link add br0 type bridge",
		fmt.Sprintf("addr add %s/%d dev br0", Gateway, Subnet.Bits()),
		"link set br0 up")
}

// ID is the word that all names of this network share.
func (n *Network) ID() string { return n.id }

// Dir is the network's folder, readable by every user.
func (n *Network) Dir() string { return n.dir }

// Logs is the folder of the processes' logs.
func (n *Network) Logs() string { return filepath.Join(n.dir, "logs") }

// Hub is the bridge's namespace: a place outside of every pod that reaches all.
func (n *Network) Hub() *Namespace { return n.hub }

// Add makes a namespace wired to the bridge. Its name is unique in the network,
// of letters, digits and dashes.
func (n *Network) Add(ctx context.Context, name string) (*Namespace, error) {
	s, err := n.open(ctx, name)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.next = n.next.Next()
	s.IP = n.next
	n.mu.Unlock()
	link := "v" + strings.ReplaceAll(strings.TrimPrefix(s.IP.String(), "10.77."), ".", "-")
	if err := batch(ctx, n.hub.Name,
		fmt.Sprintf("link add %s type veth peer name eth0 netns %s", link, s.Name),
		fmt.Sprintf("link set %s master br0 up", link)); err != nil {
		return nil, err
	}
	err = batch(ctx, s.Name,
		"link set lo up",
		fmt.Sprintf("addr add %s/%d dev eth0", s.IP, Subnet.Bits()),
		"link set eth0 up")
	return s, err
}

// Remove ends the processes of one namespace and the namespace.
func (n *Network) Remove(ctx context.Context, s *Namespace) error {
	s.stopAll()
	n.mu.Lock()
	delete(n.spaces, s.Name)
	n.mu.Unlock()
	s.file.Close()
	if err := run(ctx, "", "ip", "netns", "del", s.Name); err != nil {
		return err
	}
	return os.RemoveAll(s.etc())
}

// Keep makes Close leave everything up; `make demo-clean` removes it then.
func (n *Network) Keep() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = true
}

// Close ends every process, and removes namespaces, links, rules and folder. A
// second call does nothing.
func (n *Network) Close() error {
	n.mu.Lock()
	kept, spaces, closed := n.kept, n.spaces, n.closed
	n.spaces, n.closed = nil, true
	n.mu.Unlock()
	if closed {
		return nil
	}
	if kept {
		err := writeState(state{ID: n.id, Dir: n.dir, Kept: true})
		return errors.Join(err, n.guard.dismiss())
	}
	var all sync.WaitGroup
	for _, s := range spaces {
		all.Go(func() { s.stopAll(); s.file.Close() })
	}
	all.Wait()
	err := reap(n.id, n.dir)
	return errors.Join(err, n.guard.dismiss())
}
