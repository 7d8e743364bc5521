package build

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// logs keeps what Envoy records.
type logs struct {
	logservicev3.UnimplementedAccessLogServiceServer
	mu      sync.Mutex
	records []record
}

// record is one access log entry of a named log.
type record struct {
	log string
	*datav3.AccessLogCommon
}

// forget drops what was recorded so far.
func (l *logs) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = nil
}

func (l *logs) StreamAccessLogs(s logservicev3.AccessLogService_StreamAccessLogsServer) error {
	var name string
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.Identifier != nil {
			name = m.Identifier.LogName
		}
		l.mu.Lock()
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			l.records = append(l.records, record{name, e.CommonProperties})
		}
		for _, e := range m.GetTcpLogs().GetLogEntry() {
			l.records = append(l.records, record{name, e.CommonProperties})
		}
		l.mu.Unlock()
	}
}

// eventually is the first record of a log and type that comes.
func (l *logs) eventually(t *testing.T, log string, kind datav3.AccessLogType) record {
	t.Helper()
	var found record
	eventually(t, fmt.Sprintf("a record %s of %s", kind, log), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.IndexFunc(l.records, func(r record) bool { return r.log == log && r.AccessLogType == kind })
		if i >= 0 {
			found = l.records[i]
		}
		return i >= 0
	})
	return found
}

// addressOf is an address as Go writes it.
func addressOf(a *corev3.Address) string {
	return netip.AddrPortFrom(netip.MustParseAddr(a.GetSocketAddress().GetAddress()), uint16(a.GetSocketAddress().GetPortValue())).String()
}

// peerTags are what every record must say of this certificate's owner; of a
// server Envoy knows no serial.
func peerTags(c *x509.Certificate, server bool) map[string]string {
	const form = "2006-01-02T15:04:05.000Z"
	sum := sha256.Sum256(c.Raw)
	tags := map[string]string{
		"peer_fp": hex.EncodeToString(sum[:]), "peer_uri": c.URIs[0].String(), "peer_issuer": c.Issuer.String(),
		"peer_start": c.NotBefore.UTC().Format(form), "peer_end": c.NotAfter.UTC().Format(form),
	}
	if !server {
		tags["peer_serial"] = hex.EncodeToString(c.SerialNumber.Bytes())
	}
	return tags
}

// Whose each mTLS connection is is known while it lives: by whom, and where the
// kernel has it. Those without mTLS are not told of.
func TestClientsAreTold(t *testing.T) {
	web, tcp, silent := application(t), talker(t), talker(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	})
	if got, _ := s.try(web, nil, nil); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	alice := s.as(aliceID, "istio")
	want := peerTags(alice.Certificates[0].Leaf, false)
	for port, log := range map[uint32]string{web: logInboundHTTP, tcp: logInboundTCP, silent: logInboundTCP} {
		s.control.forget()
		conn, err := s.dial(port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		kernel := conn.LocalAddr().String() + " " + conn.RemoteAddr().String()
		live := tls.Client(conn, alice)
		kind := datav3.AccessLogType_TcpUpstreamConnected
		if err := live.Handshake(); err != nil {
			t.Fatal(err)
		}
		if log == logInboundHTTP {
			kind = datav3.AccessLogType_DownstreamStart
			fmt.Fprint(live, "GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n")
		}
		r := s.control.eventually(t, log, kind)
		for name, value := range want {
			if r.CustomTags[name] != value {
				t.Errorf("%s: %s is %q, want %q", log, name, r.CustomTags[name], value)
			}
		}
		if got := addressOf(r.DownstreamDirectRemoteAddress) + " " + r.CustomTags["local"]; got != kernel {
			t.Errorf("%s: the connection is %s, told is %s", log, kernel, got)
		}
		if log == logInboundTCP {
			live.Close()
			s.control.eventually(t, log, datav3.AccessLogType_TcpConnectionEnd)
		}
	}
}

// A client knows its servers the same way.
func TestServersAreTold(t *testing.T) {
	c := startClient(t, served(t, 1, asServer))
	good := c.startServer(t, serverID)
	c.take(t, served(t, good.port, asServer))
	if a := c.ask(t, "GET", "web.example.com", "/"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	leaf, err := x509.ParseCertificate(good.TLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	check := func(r record) {
		t.Helper()
		for name, value := range peerTags(leaf, true) {
			if r.CustomTags[name] != value {
				t.Errorf("%s: %s is %q, want %q", r.log, name, r.CustomTags[name], value)
			}
		}
		if got := addressOf(r.UpstreamRemoteAddress); got != good.Listener.Addr().String() {
			t.Errorf("%s: the server is %s, told is %s", r.log, good.Listener.Addr(), got)
		}
		if good.from(addressOf(r.UpstreamLocalAddress)) == 0 {
			t.Errorf("%s: the server has no connection from %s", r.log, addressOf(r.UpstreamLocalAddress))
		}
	}
	check(c.control.eventually(t, logOutboundHTTP, datav3.AccessLogType_UpstreamPoolReady))
	conn, err := net.Dial("tcp", "127.0.0.1:"+c.ports["10.9.0.1_81"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	check(c.control.eventually(t, logOutboundTCP, datav3.AccessLogType_TcpUpstreamConnected))
}

// A client that says nothing after its handshake is told of all the same, on a
// port that waits for its first byte.
func TestSilentClientsAreTold(t *testing.T) {
	web, tcp, open := application(t), talker(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{
			{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81},
			{Number: open, Protocol: mesh.TCP, ServicePort: 82},
		},
		Policies: []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Deny, Rules: []authz.Rule{{
			From: []authz.Source{{Principals: []string{"td/ns/shop/sa/bob"}}}, To: []authz.Operation{{Ports: []string{fmt.Sprint(tcp)}}},
		}}}},
	}
	if got := SilentPorts(in); !slices.Equal(got, []uint32{tcp}) {
		t.Fatalf("silent ports %v, want %d", got, tcp)
	}
	s := startSidecar(t, in)
	alice := s.as(aliceID, "istio")
	conn, err := s.dial(tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := tls.Client(conn, alice).Handshake(); err != nil {
		t.Fatal(err)
	}
	r := s.control.eventually(t, logInboundTCP, datav3.AccessLogType_TcpPeriodic)
	for name, value := range peerTags(alice.Certificates[0].Leaf, false) {
		if r.CustomTags[name] != value {
			t.Errorf("%s is %q, want %q", name, r.CustomTags[name], value)
		}
	}
}

// A policy for all ports makes those without a service silent too, and plaintext
// ports are never told of.
func TestSilentPorts(t *testing.T) {
	all := []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Allow}}
	in := &mesh.Inbound{
		MTLS:     mesh.PeerMTLS{Mode: mesh.Strict, Ports: map[uint32]mesh.MTLSMode{90: mesh.Disable, 70: mesh.Permissive}},
		Ports:    []mesh.InboundPort{{Number: 80, Protocol: mesh.HTTP}, {Number: 20000, Protocol: mesh.TCP}},
		Policies: all, Quarantined: true,
	}
	if got := SilentPorts(in); !slices.Equal(got, []uint32{70, 15006, 20000}) {
		t.Errorf("silent ports %v", got)
	}
	in.Policies = nil
	if got := SilentPorts(in); len(got) != 0 {
		t.Errorf("without policies silent ports %v", got)
	}
}
