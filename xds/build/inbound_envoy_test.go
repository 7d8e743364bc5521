package build

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	proxyprotov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/mesh"
)

const (
	webID   = "spiffe://td/ns/shop/sa/web"
	aliceID = "spiffe://td/ns/shop/sa/alice"
)

// sidecar is a real Envoy with the inbound side of one workload. Nothing is
// captured here: clients say by the PROXY protocol where they wanted to go, in
// place of the kernel's original destination. All else is as it is built.
type sidecar struct {
	*authority
	control *control
	snap    *mesh.Snapshot
	address string
	admin   string                 // URL of Envoy's admin interface
	process *os.Process            // Envoy's
	configs map[string]*tls.Config // of clients, by SPIFFE ID
	edits   []func(*listenerv3.Filter)
}

func startSidecar(t testing.TB, in *mesh.Inbound, edits ...func(*listenerv3.Filter)) *sidecar {
	s := &sidecar{
		authority: newAuthority(t), address: need.Address(t), configs: map[string]*tls.Config{}, edits: edits,
		snap: &mesh.Snapshot{TrustDomain: spiffeid.RequireTrustDomainFromString("td"), Config: &mesh.Config{Passthrough: true}, Denied: &mesh.Denied{}},
	}
	var address string
	s.control, address = startControl(t)
	s.control.serve(typeSecret, s.secrets(webID)...)
	s.take(t, in)
	s.admin, s.process = launchEnvoy(t, address, "--drain-time-s", "2")
	return s
}

// take serves the inbound side; it answers with the version of the filters.
func (s *sidecar) take(t testing.TB, in *mesh.Inbound) int {
	byType := map[string][]Resource{}
	for _, r := range slices.Concat(Inbound(s.snap, in), Denials(s.snap), Base(s.snap, Scope{})) {
		if l, ok := r.Message.(*listenerv3.Listener); ok {
			if l.Name != VirtualInbound {
				continue
			}
			s.standIn(l)
		}
		byType[r.TypeURL] = append(byType[r.TypeURL], r)
	}
	s.control.serve(TypeCluster, anys(byType[TypeCluster])...)
	s.control.serve(TypeListener, anys(byType[TypeListener])...)
	return s.control.serve(TypeExtension, anys(byType[TypeExtension])...)
}

func (s *sidecar) standIn(l *listenerv3.Listener) {
	_, port, _ := net.SplitHostPort(s.address)
	number, _ := strconv.Atoi(port)
	l.Address = socketAddress("127.0.0.1", uint32(number))
	for _, chain := range l.FilterChains {
		for _, filter := range chain.Filters {
			for _, edit := range s.edits {
				edit(filter)
			}
		}
	}
	l.ListenerFilters[0] = &listenerv3.ListenerFilter{Name: "envoy.filters.listener.proxy_protocol", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&proxyprotov3.ProxyProtocol{})}}
}

// dial connects as the capture would: to Envoy, with a wish for a port.
func (s *sidecar) dial(port uint32) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", s.address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = fmt.Fprintf(conn, "PROXY TCP4 127.0.0.1 127.0.0.1 40000 %d\r\n", port)
	return conn, err
}

// as is a TLS configuration of a client with this ID; the server's name is not
// of interest here.
func (s *sidecar) as(id string, alpn ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{s.issue(id)}, InsecureSkipVerify: true, NextProtos: alpn}
}

// client makes HTTP requests to one port, over TLS if a configuration is given.
func (s *sidecar) client(port uint32, config *tls.Config) *http.Client {
	dial := func(context.Context, string, string) (net.Conn, error) {
		conn, err := s.dial(port)
		if err == nil && config != nil {
			conn = tls.Client(conn, config)
		}
		return conn, err
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// try is the status and body, or the error.
func (s *sidecar) try(port uint32, config *tls.Config, edit func(*http.Request)) (string, http.Header) {
	req, _ := http.NewRequest("GET", "http://web/", nil)
	if edit != nil {
		edit(req)
	}
	resp, err := s.client(port, config).Do(req)
	if err != nil {
		return "refused", nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body), resp.Header
}

// application answers with the client's certificate details as Envoy tells them.
func application(t testing.TB) uint32 {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "xfcc="+r.Header.Get("X-Forwarded-Client-Cert"))
	}))
	t.Cleanup(app.Close)
	return uint32(app.Listener.Addr().(*net.TCPAddr).Port)
}

// talker is a TCP application that speaks first, then repeats lines.
func talker(t testing.TB) uint32 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "hello\n")
				io.Copy(conn, conn)
			}()
		}
	}()
	return uint32(l.Addr().(*net.TCPAddr).Port)
}

func TestModesOnEnvoy(t *testing.T) {
	strict, permissive, plain, silent := application(t), application(t), application(t), application(t)
	tcp, unnamed := talker(t), application(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop",
		Ports: []mesh.InboundPort{
			{Number: strict, Protocol: mesh.HTTP, ServicePort: 80}, {Number: permissive, Protocol: mesh.HTTP, ServicePort: 81},
			{Number: plain, Protocol: mesh.HTTP, ServicePort: 82}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 83},
		},
		MTLS: mesh.PeerMTLS{Mode: mesh.Strict, Ports: map[uint32]mesh.MTLSMode{
			permissive: mesh.Permissive, plain: mesh.Disable, tcp: mesh.Permissive, silent: mesh.Disable,
		}},
	})
	alice := s.as(aliceID, "istio")
	forged := func(r *http.Request) { r.Header.Set("X-Forwarded-Client-Cert", "URI=spiffe://td/ns/shop/sa/admin") }
	noCert := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"istio"}}
	foreign := s.as("spiffe://td.evil/ns/shop/sa/alice", "istio")
	stranger := &tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(aliceID)}, InsecureSkipVerify: true}
	for _, c := range []struct {
		name   string
		port   uint32
		config *tls.Config
		want   string // what the answer holds
	}{
		{"strict takes mTLS", strict, alice, "URI=" + aliceID},
		{"strict takes mTLS without the mesh's ALPN", strict, s.as(aliceID), "URI=" + aliceID},
		{"strict refuses plaintext", strict, nil, "refused"},
		{"strict refuses TLS without a certificate", strict, noCert, "refused"},
		{"strict refuses another trust domain under the same root", strict, foreign, "refused"},
		{"strict refuses another root", strict, stranger, "refused"},
		{"permissive takes mTLS", permissive, alice, "URI=" + aliceID},
		{"permissive takes plaintext, unforged", permissive, nil, "200 xfcc="},
		{"permissive refuses TLS without a certificate", permissive, noCert, "refused"},
		{"disabled takes plaintext", plain, nil, "200 xfcc="},
		{"disabled refuses mTLS", plain, alice, "400"},
		{"a port without service is as strict", unnamed, nil, "refused"},
		{"a port without service takes mTLS", unnamed, alice, "200 xfcc=URI=spiffe://td/ns/shop/sa/admin"},
		{"a port without service but with a mode", silent, nil, "200 xfcc=URI=spiffe://td/ns/shop/sa/admin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := s.try(c.port, c.config, forged)
			if !strings.Contains(got, c.want) && !(c.want == "400" && got == "refused") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.config == nil && strings.HasPrefix(c.want, "200 xfcc=") && got != c.want {
				t.Errorf("got %q, want exactly %q", got, c.want)
			}
			if strings.HasPrefix(c.want, "URI=") && strings.Contains(got, "sa/admin") {
				t.Errorf("got %q, which holds what the client itself claims", got)
			}
		})
	}
	for name, config := range map[string]*tls.Config{"mTLS": alice, "plaintext": nil} {
		t.Run("a server that speaks first, "+name, func(t *testing.T) {
			if got := s.greet(t, tcp, config, true); got != "hello\nping\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// fataler is what testing.T and rapid.T have in common here.
type fataler interface{ Fatal(...any) }

// greet reads what a TCP application says, before and after a line of the client's.
func (s *sidecar) greet(t fataler, port uint32, config *tls.Config, speak bool) string {
	conn, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if config != nil {
		conn = tls.Client(conn, config)
	}
	var out strings.Builder
	lines := bufio.NewReader(conn)
	if config != nil {
		if err := conn.(*tls.Conn).Handshake(); err != nil {
			return err.Error()
		}
	}
	conn.SetDeadline(time.Now().Add(8 * time.Second))
	line, err := lines.ReadString('\n')
	out.WriteString(line)
	if err == nil && speak {
		fmt.Fprint(conn, "ping\n")
		line, _ = lines.ReadString('\n')
		out.WriteString(line)
	}
	return out.String()
}

// A verdict bites a live connection with its next request.
func TestDenyBitesLiveConnection(t *testing.T) {
	port := application(t)
	in := &mesh.Inbound{
		Namespace: "shop", Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.HTTP, ServicePort: 80}},
		MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
	}
	s := startSidecar(t, in)
	client := s.client(port, s.as(aliceID, "istio"))
	client.Transport.(*http.Transport).DisableKeepAlives = false
	dials := 0
	inner := client.Transport.(*http.Transport).DialContext
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, n, a string) (net.Conn, error) {
		dials++
		return inner(ctx, n, a)
	}
	get := func() (int, string) {
		resp, err := client.Get("http://web/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, _ := get(); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	denied := *in
	denied.Policies = []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Deny, Rules: []authz.Rule{
		{From: []authz.Source{{Principals: []string{"td/ns/shop/sa/alice"}}}},
	}}}
	s.control.await(t, TypeExtension, s.take(t, &denied))
	if status, body := get(); status != http.StatusForbidden || body != "RBAC: access denied" {
		t.Errorf("after: %d %q", status, body)
	}
	if dials != 1 {
		t.Errorf("%d connections, want one live one", dials)
	}
}

// A pod that the mesh does not know lets nobody in, by HTTP or TCP.
func TestUnknownWorkloadDeniesAll(t *testing.T) {
	s := startSidecar(t, nil)
	alice := s.as(aliceID, "istio")
	if got, _ := s.try(application(t), alice, nil); got != "refused" {
		t.Errorf("HTTP: got %q", got)
	}
	if got := s.greet(t, talker(t), alice, true); strings.Contains(got, "ping") {
		t.Errorf("TCP: got %q", got)
	}
	if got := s.greet(t, talker(t), alice, false); strings.Contains(got, "hello") {
		t.Errorf("TCP, the server speaking first: got %q", got)
	}
}
