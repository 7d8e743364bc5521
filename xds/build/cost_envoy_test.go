package build

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/mesh"
)

// cpuOf is what a process has used so far, in user and kernel. Linux counts it
// in hundredths of a second.
func cpuOf(t testing.TB, p *os.Process) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// withoutLog takes the access log from a connection manager.
func withoutLog(f *listenerv3.Filter) {
	var m hcmv3.HttpConnectionManager
	if f.GetTypedConfig().UnmarshalTo(&m) == nil {
		m.AccessLog, m.AccessLogOptions = nil, nil
		f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed(&m)}
	}
}

// trial is one Envoy under the same load as others.
type trial struct {
	name   string
	proxy  *sidecar
	client *http.Client
	before time.Duration
}

func startTrial(b *testing.B, name string, digests int, edits ...func(*listenerv3.Filter)) *trial {
	port := application(b)
	in := &mesh.Inbound{
		Namespace: "shop", Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.HTTP, ServicePort: 80}},
		MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
	}
	s := startSidecar(b, in, edits...)
	d := &mesh.Denied{}
	for i := range digests {
		d.Digests = append(d.Digests, fmt.Sprintf("%064x", uint64(i)*0x9e3779b97f4a7c15))
	}
	s.deny(b, in, d)
	return &trial{name: name, proxy: s, client: s.keeping(port, s.as(aliceID, "istio"), false)}
}

func (c *trial) request(b *testing.B) {
	if got := statusOf(b, c.client); got != http.StatusOK {
		b.Fatal(got)
	}
}

// BenchmarkEnvoyRequest is Envoy's CPU for a request on a live mTLS connection,
// in turns, so that what else the machine does hits all alike.
func BenchmarkEnvoyRequest(b *testing.B) {
	var trials []*trial
	for _, n := range []int{0, 1, 10, 1000} {
		trials = append(trials, startTrial(b, fmt.Sprint(n), n))
		var bytes int
		for _, r := range Denials(trials[len(trials)-1].proxy.snap) {
			bytes += proto.Size(r.Message.(*corev3.TypedExtensionConfig))
		}
		b.Logf("%d digests denied: %d bytes a proxy", n, bytes)
	}
	trials = append(trials, startTrial(b, "without-log", 0, withoutLog))
	for _, c := range trials {
		for range 500 {
			c.request(b)
		}
		c.before = cpuOf(b, c.proxy.process)
	}
	for b.Loop() {
		for _, c := range trials {
			c.request(b)
		}
	}
	for _, c := range trials {
		b.ReportMetric(float64((cpuOf(b, c.proxy.process)-c.before).Microseconds())/float64(b.N), c.name+"-us/op")
	}
}
