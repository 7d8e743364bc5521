package build

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
)

const (
	serverID = "spiffe://cluster.local/ns/shop/sa/server"
	otherID  = "spiffe://cluster.local/ns/shop/sa/other"
)

// meshServer is a server as a sidecar would be one: it has a certificate, wants
// its clients', and picks a protocol by ALPN.
type meshServer struct {
	*httptest.Server
	port  int
	seen  chan tls.ConnectionState
	mu    sync.Mutex
	addrs map[string]int // connections by the client's address
}

// from is how many connections came from an address.
func (s *meshServer) from(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[address]
}

func (c *client) startServer(t testing.TB, id string) *meshServer {
	s := &meshServer{seen: make(chan tls.ConnectionState, 100), addrs: map[string]int{}}
	roots := x509.NewCertPool()
	roots.AddCert(c.cert)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen <- *r.TLS
		fmt.Fprint(w, r.Proto)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refusals are what is tested
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.addrs[conn.RemoteAddr().String()]++
		}
	}
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{c.issue(id)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		NextProtos: []string{"h2", "http/1.1", "istio"}, // the last as a TCP server
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	s.port = s.Listener.Addr().(*net.TCPAddr).Port
	return s
}

// served is a mesh in which the account server runs the one endpoint of three
// services, one of each HTTP version and one of TCP.
func served(t testing.TB, port int, account string) *mesh.Snapshot {
	entry := `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: shop}
spec:
  hosts: [%s.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  addresses: %s
  ports: [{name: p, number: %d, protocol: %s}]
  endpoints: [{address: 127.0.0.1, ports: {p: %d}, labels: {security.istio.io/tlsMode: istio}%s}]
---
`
	var all strings.Builder
	fmt.Fprintf(&all, entry, "web", "web", "[]", 80, "HTTP", port, account)
	fmt.Fprintf(&all, entry, "api", "api", "[]", 80, "GRPC", port, account)
	fmt.Fprintf(&all, entry, "raw", "raw", "[10.9.0.1]", 81, "TCP", port, account)
	return meshgen.Load(t, all.String())
}

const asServer = ", serviceAccount: server"

func TestServersProveThemselvesOnEnvoy(t *testing.T) {
	c := startClient(t, served(t, 1, asServer))
	good, bad := c.startServer(t, serverID), c.startServer(t, otherID)
	c.take(t, served(t, good.port, asServer))
	for host, proto := range map[string]string{"web.example.com": "HTTP/1.1", "api.example.com": "HTTP/2.0"} {
		if a := c.ask(t, "GET", host, "/"); a.status != http.StatusOK || a.body != proto {
			t.Errorf("%s answered %d %q, want %s", host, a.status, a.body, proto)
		}
		state := <-good.seen
		if state.Version != tls.VersionTLS13 || state.DidResume {
			t.Errorf("%s: TLS %x, resumed %v", host, state.Version, state.DidResume)
		}
		if want := "outbound_.80_._." + host; state.ServerName != want {
			t.Errorf("%s: SNI %s, want %s", host, state.ServerName, want)
		}
		if got := state.PeerCertificates[0].URIs[0].String(); got != webID {
			t.Errorf("%s: the client is %s", host, got)
		}
	}
	refused := func(what string) {
		t.Helper()
		if a := c.ask(t, "GET", "web.example.com", "/"); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s answered %d %q", what, a.status, a.body)
		}
		if len(bad.seen) > 0 {
			t.Errorf("%s got a request", what)
		}
	}
	c.take(t, served(t, bad.port, asServer))
	refused("a server of another account")
	c.take(t, served(t, bad.port, ""))
	refused("a server where nobody may run the service")
	c.take(t, meshgen.Load(t, strings.ReplaceAll(fmt.Sprintf(twoVersionsOf, bad.port), "MODE", "SIMPLE")))
	refused("a server behind a TLS mode that is not supported")
}

// twoVersionsOf is web at a port with a DestinationRule of TLS mode MODE.
const twoVersionsOf = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{name: p, number: 80, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {p: %d}, labels: {security.istio.io/tlsMode: istio}, serviceAccount: other}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web.example.com, trafficPolicy: {tls: {mode: MODE}}}
`

// take serves a snapshot and waits until Envoy has the clusters and endpoints.
func (c *client) take(t testing.TB, s *mesh.Snapshot) {
	t.Helper()
	version := c.serve(t, s)
	for _, typeURL := range []string{TypeCluster, TypeEndpoint} {
		c.control.await(t, typeURL, version-3)
	}
	for deadline := time.Now().Add(10 * time.Second); statOf(t, c.admin, "cluster_manager.warming_clusters") != "0"; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a changed cluster does not get warm")
		}
	}
}

// A client of a headless TCP service gets the endpoint whose address it calls.
func TestHeadlessServiceOnEnvoy(t *testing.T) {
	var endpoints []string
	for i, address := range []string{"127.0.0.2", "127.0.0.3"} {
		endpoints = append(endpoints, fmt.Sprintf("{address: %s, ports: {tcp: %d}}", address, greeter(t, address, fmt.Sprint(i+2))))
	}
	c := startClient(t, meshgen.Load(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{name: tcp, number: 5432, protocol: TCP}]
  endpoints: [%s]
`, strings.Join(endpoints, ", "))))
	for range 5 {
		for _, last := range []string{"2", "3"} {
			conn, err := net.Dial("tcp", "127.0.0.1:"+c.ports["127.0.0."+last+"_5432"])
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(conn)
			conn.Close()
			if string(got) != last {
				t.Fatalf("at 127.0.0.%s answered %q", last, got)
			}
		}
	}
}

// greeter says its name to everybody, from a port of an address.
func greeter(t testing.TB, address, name string) int {
	l, err := net.Listen("tcp", address+":0")
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
			io.WriteString(conn, name)
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
