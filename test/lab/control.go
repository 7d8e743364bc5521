package lab

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// controlHost is a name that is always in ensignd's certificate.
const controlHost = "istiod.istio-system.svc"

// startTimeout bounds the start of each part of the lab.
const startTimeout = 30 * time.Second

// Control is ensignd in a namespace of its own.
type Control struct {
	Net  *netns.Namespace
	Data string
	// Disk is the one that Data is on; nil if it has none of its own.
	Disk *Disk

	lab     *Lab
	name    string
	argv    []string
	flags   []string // of argv, beyond its folders and files
	kek     string
	metrics string

	mu      sync.Mutex
	process *netns.Process
}

func (l *Lab) startControl(ctx context.Context, extra []string, disk int64) (*Control, error) {
	space, err := l.Net.Add(ctx, "ensignd")
	if err != nil {
		return nil, err
	}
	c := &Control{Net: space, lab: l, name: "ensignd", metrics: "127.0.0.1:15014",
		Data: filepath.Join(l.Dir(), "data"), kek: filepath.Join(l.Dir(), "kek")}
	if disk > 0 {
		if c.Disk, err = mountDisk(c.Data, disk, 0); err != nil {
			return nil, err
		}
	}
	if out, err := exec.CommandContext(ctx, l.program("ensign"), "kek", "new", "--out", c.kek).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making the key-encryption key: %w: %s", err, out)
	}
	c.flags = append([]string{"--listen", space.IP.String() + ":15012"}, extra...)
	c.argv = append([]string{l.program("ensignd"), "--manifests", l.manifests, "--data", c.Data, "--kek", c.kek}, c.flags...)
	return c, c.Start(ctx)
}

// Beside makes another ensignd, not yet started, that nobody is connected to, on
// a data folder of its own: to look at a copy.
func (c *Control) Beside(data string) *Control {
	other := &Control{Net: c.Net, lab: c.lab, name: "ensignd-beside", Data: data, kek: c.kek, metrics: "127.0.0.1:25014"}
	other.argv = []string{c.lab.program("ensignd"), "--manifests", c.lab.manifests, "--data", data, "--kek", c.kek,
		"--listen", "127.0.0.1:25012", "--metrics", other.metrics, "--ledger-listen", ""}
	return other
}

// Start runs ensignd and returns when it says that it is ready.
func (c *Control) Start(ctx context.Context) error {
	process, err := c.Net.Start(netns.Spec{Name: c.name, Argv: c.argv})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.process = process
	c.mu.Unlock()
	return untilReady(ctx, process, c.Net, "http://"+c.metrics+"/readyz")
}

// Ready is nil if ensignd says that it is ready, or what it says instead.
func (c *Control) Ready(ctx context.Context) error {
	body, err := get(ctx, c.Net, "http://"+c.metrics+"/readyz")
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}

// Process is the running or the last ensignd.
func (c *Control) Process() *netns.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// Ensign runs the CLI against this ensignd.
func (c *Control) Ensign(ctx context.Context, args ...string) Result {
	argv := append([]string{c.lab.program("ensign")}, args...)
	return c.lab.run(ctx, append(argv, "--data", c.Data)...)
}

// Line is ensignd's command line.
func (c *Control) Line() string { return strings.Join(c.argv, " ") }

// Metric is the sum of a counter or gauge over all its labels.
func (c *Control) Metric(ctx context.Context, name string) (float64, error) {
	body, err := get(ctx, c.Net, "http://"+c.metrics+"/metrics")
	if err != nil {
		return 0, err
	}
	return sumMetric(body, name)
}

// hosts are the names that a pod of one namespace has in a cluster.
func (c *Control) hosts() map[string]netip.Addr {
	return map[string]netip.Addr{controlHost: c.Net.IP}
}

func (l *Lab) program(name string) string { return filepath.Join(l.bin, name) }

// untilReady asks until the answer is 200, the process ends, or time is up.
func untilReady(ctx context.Context, process *netns.Process, from *netns.Namespace, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := get(ctx, from, url)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			return fmt.Errorf("%s ended with code %d:\n%s", process.Name, process.ExitCode(), process.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w):\n%s", process.Name, ctx.Err(), err, process.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// get is one GET from inside a namespace; any status but 200 is an error.
func get(ctx context.Context, from *netns.Namespace, url string) ([]byte, error) {
	client, err := load.NewClient(load.Plan{URL: url, Dial: from.Dial, Fresh: true})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	answer, err := client.Do(ctx)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return answer.Body, fmt.Errorf("%s: status %d", url, answer.Status)
	}
	return answer.Body, nil
}

// chown gives a file to the proxy's user, and nobody else.
func chown(path string, mode os.FileMode) error {
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return os.Chown(path, netns.ProxyUID, netns.ProxyUID)
}
