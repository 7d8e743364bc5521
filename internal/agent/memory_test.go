package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// What the agent may take at rest, in KiB.
const (
	maxAnonymous = 10 << 10
	maxResident  = 25 << 10
)

// built is the folder of the binary; "" while no test needed it.
var built string

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "agent-binary")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "ensign-agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../../cmd/ensign-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// binary is ensign-agent as `make build` makes it.
func binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// arguments are a configuration as a command line.
func arguments(c Config) []string {
	args := []string{
		"--control-plane", c.ControlPlane, "--trust-bundle", c.TrustBundle, "--token-file", c.TokenFile,
		"--pod", c.Pod, "--ip", c.IP, "--run-dir", c.RunDir, "--envoy", c.Envoy,
		"--envoy-admin", c.EnvoyAdmin, "--metrics", c.Metrics, "--health", c.Health, "--drain", c.Drain.String(),
	}
	if c.TTL != 0 {
		args = append(args, "--svid-ttl", c.TTL.String())
	}
	return append(append(args, "--"), c.EnvoyArgs...)
}

// startBinary runs the program; the test ends it.
func startBinary(t testing.TB, config Config, logs *logBuffer) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary(t), arguments(config)...)
	// A buffer would make Wait wait for Envoy too, which has the same output.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := read.Read(chunk)
			if err != nil {
				return
			}
			logs.Write(chunk[:n])
		}
	}()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { read.Close() })
	return cmd
}

// resident are the anonymous and all resident KiB of a process.
func resident(t testing.TB, pid int) (anonymous, all int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		kib, _ := strconv.Atoi(fields[0])
		switch name {
		case "RssAnon":
			anonymous = kib
		case "VmRSS":
			all = kib
		}
	}
	return anonymous, all
}

// flood relays 64 MiB in messages of 4 MiB: a large mesh's first configuration.
func flood(t *testing.T, control *controlPlane, config Config) {
	t.Helper()
	chunk := &discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{{Resource: &anypb.Any{TypeUrl: typeCluster, Value: make([]byte, 4<<20)}}}}
	control.set(func() {
		control.ads = func(stream deltaServer) error {
			for range 16 {
				if err := stream.Send(chunk); err != nil {
					return err
				}
			}
			return nil
		}
	})
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryAtRest: the agent has its certificate, serves a real Envoy, has relayed
// its stream and a flood, and reports; then it rests.
func TestMemoryAtRest(t *testing.T) {
	control, config, address := withEnvoy(t)
	var logs logBuffer
	cmd := startBinary(t, config, &logs)
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}()
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	client := control.authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/caller", time.Hour))
	if _, err := hello(control.authority, client, address); err != nil {
		t.Fatal(err)
	}
	flood(t, control, config)
	// A single look may meet a collection or a scrape: rest is the best of a while.
	var anonymous, all int
	for range 12 {
		time.Sleep(2 * time.Second)
		anonymous, all = resident(t, cmd.Process.Pid)
		t.Logf("%d KiB anonymous, %d KiB resident", anonymous, all)
		if anonymous <= maxAnonymous && all <= maxResident && anonymous > 0 {
			t.Logf("at rest: %d KiB anonymous, %d KiB resident", anonymous, all)
			return
		}
	}
	t.Errorf("at rest: %d KiB anonymous (at most %d), %d KiB resident (at most %d)\n%s", anonymous, maxAnonymous, all, maxResident, logs.String())
}
