package connections

import (
	"log/slog"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	logv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
)

func at(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// logged is an inbound record as Envoy writes it.
func logged() *logv3.AccessLogCommon {
	return &logv3.AccessLogCommon{
		DownstreamRemoteAddress:       at("9.9.9.9", 1), // from the client's x-forwarded-for
		DownstreamLocalAddress:        at("10.0.0.1", 8080),
		DownstreamDirectRemoteAddress: at("10.0.0.2", 40000),
		UpstreamLocalAddress:          at("10.0.0.1", 50000),
		UpstreamRemoteAddress:         at("10.0.0.3", 8443),
		AccessLogType:                 logv3.AccessLogType_TcpUpstreamConnected,
		CustomTags: map[string]string{
			"conn": "12", "local": "10.0.0.1:15006", "peer_uri": aliceID, "peer_issuer": "CN=issuer", "peer_fp": "ab12", "peer_serial": "-",
			"peer_start": "2026-11-21T14:04:38.000Z", "peer_end": "2026-11-21T15:04:38.000Z",
		},
	}
}

func TestRecords(t *testing.T) {
	set := func(tag, value string) func(*logv3.AccessLogCommon) {
		return func(c *logv3.AccessLogCommon) { c.CustomTags[tag] = value }
	}
	peerless := func(c *logv3.AccessLogCommon) {
		for _, tag := range []string{"peer_uri", "peer_issuer", "peer_fp"} {
			c.CustomTags[tag] = ""
		}
	}
	for _, c := range []struct {
		name    string
		inbound bool
		change  func(*logv3.AccessLogCommon)
		want    string // local, remote; "" if it is none, or the error
	}{
		{"client", true, func(*logv3.AccessLogCommon) {}, "10.0.0.1:15006 10.0.0.2:40000"},
		{"server", false, func(*logv3.AccessLogCommon) {}, "10.0.0.1:50000 10.0.0.3:8443"},
		{"IPv4 in IPv6", true, set("local", "[::ffff:10.0.0.1]:15006"), "10.0.0.1:15006 10.0.0.2:40000"},
		{"IPv6", true, set("local", "[fd00::1]:15006"), "[fd00::1]:15006 10.0.0.2:40000"},
		{"without a certificate", true, peerless, ""},
		{"without a fingerprint", true, set("peer_fp", "-"), "no fingerprint"},
		{"without a number", true, set("conn", ""), "has no number"},
		{"with another number", true, set("conn", "-1"), "has no number"},
		{"without a local address", true, set("local", "-"), "no local address"},
		{"without a remote address", true, func(c *logv3.AccessLogCommon) { c.DownstreamDirectRemoteAddress = nil }, "no IP address"},
		{"without an upstream", false, func(c *logv3.AccessLogCommon) { c.UpstreamLocalAddress = nil }, "no IP address"},
		{"with a huge port", false, func(c *logv3.AccessLogCommon) { c.UpstreamLocalAddress = at("10.0.0.1", 70000) }, "no IP address"},
		{"with a long tag", true, set("peer_uri", strings.Repeat("x", maxTag+1)), "2049 bytes"},
	} {
		common := logged()
		c.change(common)
		got, ok, err := parseRecord(c.inbound, common)
		switch {
		case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)), ok != (err == nil && c.want != ""):
			t.Errorf("%s: %+v, %v, %v", c.name, got, ok, err)
		case ok && got.local.String()+" "+got.remote.String() != c.want:
			t.Errorf("%s: %s %s, want %s", c.name, got.local, got.remote, c.want)
		}
	}
	padded := logged()
	padded.CustomTags["peer_serial"] = "0bec"
	if got, _, _ := parseRecord(true, padded); got.serial != "bec" {
		t.Errorf("the serial 0bec is read as %q", got.serial)
	}
	got, _, _ := parseRecord(true, logged())
	want := name{inbound: true, uri: aliceID, issuer: "CN=issuer", fingerprint: "ab12", start: "2026-11-21T14:04:38.000Z", until: "2026-11-21T15:04:38.000Z"}
	if got.number != 12 || got.ended || got.name != want {
		t.Error(cmp.Diff(want, got.name, cmp.AllowUnexported(name{})))
	}
}

// FuzzLog: whatever Envoy's log holds, the table stays bounded and sound, and ends
// nothing that the kernel does not have.
func FuzzLog(f *testing.F) {
	for _, inbound := range []string{LogInboundTCP, LogOutboundTCP} {
		ended := logged()
		ended.AccessLogType = logv3.AccessLogType_TcpConnectionEnd
		var entries []*logv3.TCPAccessLogEntry
		for _, c := range []*logv3.AccessLogCommon{logged(), ended, {}} {
			entries = append(entries, &logv3.TCPAccessLogEntry{CommonProperties: c})
		}
		seed, err := proto.Marshal(&alsv3.StreamAccessLogsMessage{
			Identifier: &alsv3.StreamAccessLogsMessage_Identifier{LogName: inbound},
			LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: entries}},
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var message alsv3.StreamAccessLogsMessage
		if proto.Unmarshal(data, &message) != nil {
			return
		}
		k := newKernel()
		k.any = true
		table := newTable(Config{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}, k, k.choose)
		table.SetEnvoy(1, false)
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		table.observe(table.parse(nil, true, &message))
		table.observe(table.parse(nil, false, &message))
		table.round()
		count := 0
		for p, c := range table.connections {
			if c.pair != p || table.peers[c.peer.name] != c.peer || c.peer.cut != has(table.cutting, c) {
				t.Errorf("connection %+v is not sound", c)
			}
		}
		for _, p := range table.peers {
			count += p.connections
		}
		if count != len(table.connections) || len(table.cutting) > count {
			t.Errorf("%d connections, of peers %d, %d to cut", len(table.connections), count, len(table.cutting))
		}
	})
}
