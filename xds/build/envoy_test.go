package build

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ensign-mesh/ensign/internal/need"
)

// control is a small state-of-the-world server of resources and secrets.
type control struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	secretv3.UnimplementedSecretDiscoveryServiceServer
	logs

	mu        sync.Mutex
	version   int
	resources map[string][]*anypb.Any // by type
	acked     map[string]int          // version by type
	refusals  []string
	changed   chan struct{}
}

// serve sets what the control plane answers for one type.
func (c *control) serve(typeURL string, resources ...*anypb.Any) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.resources[typeURL] = resources
	close(c.changed)
	c.changed = make(chan struct{})
	return c.version
}

func (c *control) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return c.stream(s)
}

func (c *control) StreamSecrets(s secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	return c.stream(s)
}

type stream interface {
	Send(*discoveryv3.DiscoveryResponse) error
	Recv() (*discoveryv3.DiscoveryRequest, error)
}

func (c *control) stream(s stream) error {
	requests := make(chan *discoveryv3.DiscoveryRequest)
	failed := make(chan error, 1)
	go func() {
		for {
			r, err := s.Recv()
			if err != nil {
				failed <- err
				return
			}
			requests <- r
		}
	}()
	sent := map[string]int{}
	names := map[string]string{}
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		select {
		case err := <-failed:
			return err
		case r := <-requests:
			c.note(r)
			if asked := fmt.Sprint(r.ResourceNames); sent[r.TypeUrl] == 0 || names[r.TypeUrl] != asked {
				names[r.TypeUrl], sent[r.TypeUrl] = asked, 0
			}
		case <-changed:
		}
		for typeURL := range names {
			if err := c.push(s, typeURL, sent); err != nil {
				return err
			}
		}
	}
}

func (c *control) push(s stream, typeURL string, sent map[string]int) error {
	c.mu.Lock()
	version, resources := c.version, c.resources[typeURL]
	c.mu.Unlock()
	if sent[typeURL] == version {
		return nil
	}
	sent[typeURL] = version
	text := fmt.Sprint(version)
	return s.Send(&discoveryv3.DiscoveryResponse{TypeUrl: typeURL, Resources: resources, VersionInfo: text, Nonce: text})
}

func (c *control) note(r *discoveryv3.DiscoveryRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ErrorDetail != nil {
		c.refusals = append(c.refusals, r.TypeUrl+": "+r.ErrorDetail.Message)
		return
	}
	var n int
	fmt.Sscan(r.VersionInfo, &n)
	c.acked[r.TypeUrl] = max(c.acked[r.TypeUrl], n)
}

// await waits until Envoy has acknowledged a version of a type.
func (c *control) await(t testing.TB, typeURL string, version int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		c.mu.Lock()
		done, refusals := c.acked[typeURL] >= version, c.refusals
		c.mu.Unlock()
		if len(refusals) > 0 {
			t.Fatalf("Envoy refused: %v", refusals)
		}
		if done {
			return
		}
	}
	t.Fatalf("%s: version %d not acknowledged", typeURL, version)
}

// startControl serves on a port of its own until the test ends.
func startControl(t testing.TB) (*control, string) {
	c := &control{resources: map[string][]*anypb.Any{}, acked: map[string]int{}, changed: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, c)
	secretv3.RegisterSecretDiscoveryServiceServer(server, c)
	logservicev3.RegisterAccessLogServiceServer(server, &c.logs)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return c, l.Addr().String()
}

const bootstrap = `
node: {id: "sidecar~127.0.0.1~web.shop~shop.svc.cluster.local", cluster: web}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %[1]s}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}], set_node_on_first_message_only: true}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: sds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: sds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %[2]s, port_value: %[3]s}}}}]}]
  - name: als-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: als-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %[2]s, port_value: %[3]s}}}}]}]
`

// startEnvoy runs an Envoy that takes all from the control plane; it answers
// with the address of its admin interface once that says that it is live.
func startEnvoy(t testing.TB, controlAddress string) string {
	admin, _ := launchEnvoy(t, controlAddress)
	return admin
}

// launchEnvoy also answers with the process.
func launchEnvoy(t testing.TB, controlAddress string, args ...string) (admin string, process *os.Process) {
	binary := need.Envoy(t)
	host, port, _ := net.SplitHostPort(controlAddress)
	adminPort := strconv.Itoa(need.Port(t))
	dir := t.TempDir()
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, bootstrap, adminPort, host, port), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"}, args...)
	cmd := exec.Command(binary, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy said:\n%s", log.String())
		}
	})
	admin = "http://127.0.0.1:" + adminPort
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(admin + "/ready")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return admin, cmd.Process
		}
	}
	t.Fatal("Envoy did not become live")
	return "", nil
}

// secretsOf wraps resources that are served by name.
func anys(resources []Resource) []*anypb.Any {
	var out []*anypb.Any
	for _, r := range resources {
		out = append(out, packed(r.Message))
	}
	return out
}

func inline(text []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: text}}
}
