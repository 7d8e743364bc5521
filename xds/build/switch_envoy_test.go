package build

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// stat is one of Envoy's own counters; "" for one that does not exist.
func (s *sidecar) stat(t testing.TB, name string) string {
	t.Helper()
	return statOf(t, s.admin, name)
}

// statOf is one statistic of the Envoy with this admin interface.
func statOf(t testing.TB, admin, name string) string {
	t.Helper()
	resp, err := http.Get(admin + "/stats?filter=^" + name + "$")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	_, value, _ := strings.Cut(string(text), ": ")
	return strings.TrimSpace(value)
}

// line is a connection over which requests go one after the other.
type line struct {
	net.Conn
	read *bufio.Reader
}

func (s *sidecar) open(t testing.TB, port uint32, config *tls.Config) *line {
	t.Helper()
	conn, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if config != nil {
		conn = tls.Client(conn, config)
	}
	return &line{Conn: conn, read: bufio.NewReader(conn)}
}

// get is the status of one request; 0 if the connection is gone.
func (l *line) get() int {
	if _, err := fmt.Fprint(l, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(l.read, nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// From PERMISSIVE to STRICT Envoy drains the plaintext chains and no other:
// connections with mTLS live on.
func TestStrictDrainsOnlyPlaintext(t *testing.T) {
	web, tcp := application(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	live := s.open(t, web, s.as(aliceID, "istio"))
	if live.get() != http.StatusOK || s.open(t, web, nil).get() != http.StatusOK {
		t.Fatal("PERMISSIVE does not take both")
	}
	strict := *in
	strict.MTLS.Mode = mesh.Strict
	s.take(t, &strict)
	for deadline := time.Now().Add(10 * time.Second); s.stat(t, "listener_manager.listener_in_place_updated") != "1"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the listener is not updated in place")
		}
	}
	// One of the HTTP port, two each of the TCP port and of all other ports.
	if got := s.stat(t, "listener_manager.total_filter_chains_draining"); got != "5" {
		t.Errorf("%s chains drain, want the 5 of plaintext", got)
	}
	if got := live.get(); got != http.StatusOK {
		t.Errorf("the live connection with mTLS: %d", got)
	}
	if got := s.open(t, web, nil).get(); got != 0 {
		t.Errorf("plaintext in STRICT: %d", got)
	}
}

// A resumed session would outlive its certificate.
func TestNoSessionIsResumed(t *testing.T) {
	web := application(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}},
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := s.as(aliceID, "istio", "http/1.1")
		config.MinVersion, config.MaxVersion = version, version
		config.ServerName, config.ClientSessionCache = "web", tls.NewLRUClientSessionCache(1)
		for range 2 {
			l := s.open(t, web, config)
			if got := l.get(); got != http.StatusOK {
				t.Fatalf("%s: %d", tls.VersionName(version), got)
			}
			if state := l.Conn.(*tls.Conn).ConnectionState(); state.DidResume {
				t.Errorf("%s: resumed", state.NegotiatedProtocol)
			}
			if _, ok := config.ClientSessionCache.Get("web"); ok {
				t.Errorf("%s: the server handed out a session", tls.VersionName(version))
			}
		}
	}
}

// A TCP application hears nothing of a client that has not proven who it is.
func TestApplicationHearsOnlyProvenClients(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			fmt.Fprint(conn, "hello\n")
			conn.Close()
		}
	}()
	port := uint32(l.Addr().(*net.TCPAddr).Port)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.TCP, ServicePort: 80}},
	})
	unproven := s.open(t, port, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"istio"}})
	if text, err := unproven.read.ReadString('\n'); err == nil {
		t.Errorf("a client without a certificate hears %q", text)
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("the application was called %d times for a client without a certificate", n)
	}
	if text, err := s.open(t, port, s.as(aliceID, "istio")).read.ReadString('\n'); text != "hello\n" {
		t.Errorf("a client with a certificate hears %q, %v", text, err)
	}
}

// Each application is spoken to in the HTTP version of its port, whichever the
// client speaks.
func TestHTTPVersions(t *testing.T) {
	newApp := func(http2 bool) uint32 {
		app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
		app.Config.Protocols = new(http.Protocols)
		app.Config.Protocols.SetHTTP1(!http2)
		app.Config.Protocols.SetUnencryptedHTTP2(http2)
		app.Start()
		t.Cleanup(app.Close)
		return uint32(app.Listener.Addr().(*net.TCPAddr).Port)
	}
	apps := map[uint32]string{newApp(false): "HTTP/1.1", newApp(true): "HTTP/2.0"}
	in := &mesh.Inbound{Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive}}
	for port, version := range apps {
		protocol := map[string]mesh.Protocol{"HTTP/1.1": mesh.HTTP, "HTTP/2.0": mesh.HTTP2}[version]
		in.Ports = append(in.Ports, mesh.InboundPort{Number: port, Protocol: protocol, ServicePort: 80})
	}
	s := startSidecar(t, in)
	for port, want := range apps {
		for _, alpn := range []string{"http/1.1", "h2"} {
			for _, secured := range []bool{true, false} {
				got, err := s.ask(port, alpn == "h2", secured)
				if err != nil || got != want {
					t.Errorf("%s client, mTLS %v: the application of %s sees %q, %v", alpn, secured, want, got, err)
				}
			}
		}
	}
}

// ask is the answer to a client of one HTTP version.
func (s *sidecar) ask(port uint32, http2, secured bool) (string, error) {
	alpn, scheme := []string{"istio", "http/1.1"}, "http"
	if http2 {
		alpn = []string{"istio", "h2"}
	}
	client := s.client(port, nil)
	transport := client.Transport.(*http.Transport)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2 && secured)
	transport.Protocols.SetUnencryptedHTTP2(http2 && !secured)
	if secured {
		scheme, transport.TLSClientConfig = "https", s.as(aliceID, alpn...)
	}
	resp, err := client.Get(scheme + "://web/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
