package netns

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Namespace is one pod's network.
type Namespace struct {
	// Name is the whole name that `ip netns` knows.
	Name string
	IP   netip.Addr

	network *Network
	file    *os.File

	mu        sync.Mutex
	hosts     map[string]netip.Addr
	processes []*Process
}

func (n *Network) open(ctx context.Context, name string) (*Namespace, error) {
	s := &Namespace{Name: prefix + n.id + "-" + name, network: n}
	if err := n.claim(s); err != nil {
		return nil, err
	}
	if err := run(ctx, "", "ip", "netns", "add", s.Name); err != nil {
		return nil, err
	}
	var err error
	if s.file, err = os.Open("/run/netns/" + s.Name); err != nil {
		return nil, fmt.Errorf("opening namespace: %w", err)
	}
	return s, s.writeEtc("")
}

func (n *Network) claim(s *Namespace) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("making namespace %s: the network is closed", s.Name)
	}
	if _, taken := n.spaces[s.Name]; taken {
		return fmt.Errorf("namespace %s exists: choose another name", s.Name)
	}
	n.spaces[s.Name] = s
	return nil
}

// RouteAll sends everything that is not in the subnet to the bridge, as a pod's
// default route does. Service addresses need it: the kernel picks a route
// before the capture rules see the packet.
func (s *Namespace) RouteAll(ctx context.Context) error {
	return batch(ctx, s.Name, "route add default via "+Gateway.String())
}

// SetHosts gives the namespace its names, in place: for programs inside as
// /etc/hosts, and for Dial.
func (s *Namespace) SetHosts(hosts map[string]netip.Addr) error {
	s.mu.Lock()
	s.hosts = hosts
	s.mu.Unlock()
	var lines strings.Builder
	for name, ip := range hosts {
		fmt.Fprintf(&lines, "%s %s\n", ip, name)
	}
	return s.writeEtc(lines.String())
}

func (s *Namespace) etc() string { return filepath.Join("/etc/netns", s.Name) }

// writeEtc writes the files that `ip netns exec` binds over /etc. Written in
// place, since a bind mount follows the file and not its name.
func (s *Namespace) writeEtc(hosts string) error {
	if err := os.MkdirAll(s.etc(), 0o755); err != nil {
		return fmt.Errorf("making %s: %w", s.etc(), err)
	}
	for name, text := range map[string]string{
		"hosts":       "127.0.0.1 localhost\n" + hosts,
		"resolv.conf": "# No name server: an unknown name is refused at once.\nnameserver 127.0.0.1\n",
	} {
		if err := os.WriteFile(filepath.Join(s.etc(), name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing names of %s: %w", s.Name, err)
		}
	}
	return nil
}

// Dial connects from inside the namespace, as a program of user root there.
func (s *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	address, err := s.resolve(address)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = s.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens inside the namespace on tcp address.
func (s *Namespace) Listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.Listener
	err := s.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp4", address)
		return err
	})
	return l, err
}

// Do runs f on a thread that is inside the namespace; sockets made there stay
// there. f must not start goroutines that make sockets.
func (s *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// A thread that can't come home stays locked, and ends with its goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("entering %s: %w", s.Name, err)
			return
		}
		err := f()
		if unix.Setns(int(s.network.home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

func (s *Namespace) resolve(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return address, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	ip, ok := s.hosts[host]
	if !ok {
		return "", &net.DNSError{Err: "not among the namespace's hosts", Name: host, IsNotFound: true}
	}
	return net.JoinHostPort(ip.String(), port), nil
}

// batch runs lines of `ip` inside a namespace.
func batch(ctx context.Context, name string, lines ...string) error {
	return run(ctx, strings.Join(lines, "\n")+"\n", "ip", "-n", name, "-batch", "-")
}

func run(ctx context.Context, stdin string, argv ...string) error {
	_, err := output(ctx, stdin, argv...)
	return err
}

func output(ctx context.Context, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}
