package revocation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
)

// TestEnvoyServesWhoIsNotRevoked: each set that this package makes goes into a real
// Envoy, as agents put it there, and everybody tries to come in.
func TestEnvoyServesWhoIsNotRevoked(t *testing.T) {
	binary := need.Envoy(t)
	a := newAuthority(t, "a", "b")
	s := &doors{t: t, authority: a, people: map[string]*tls.Certificate{}, dir: t.TempDir()}
	for _, who := range []string{"a1", "a2", "b1", "b2"} {
		s.person(who, who[:1], true)
	}
	s.person("unlogged", "a", false)

	s.open("nobody is revoked", s.refreshed(), "a1 a2 b1 b2 unlogged")
	s.revoke("a1")
	one := s.refreshed()
	s.open("one is revoked", one, "a2 b1 b2 unlogged")
	part := *one
	part.CRLs = part.CRLs[:1]
	s.open("why it is all or none: without the CRL of b", &part, "a2 unlogged")
	a.destroy("a")
	s.revoke("b1")
	s.open("the key of a is gone", s.refreshed(), "a2 b2 unlogged")
	a.introduce("c", 30*day)
	s.person("c1", "c", true)
	s.open("a new issuer", s.refreshed(), "a2 b2 unlogged c1")
	last, err := os.ReadFile(filepath.Join(a.dir, "a.crl"))
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(a.dir, "a.crl"), func(b []byte) []byte { return b[:len(b)/2] })
	s.open("and its CRL is broken: none is in force", s.refreshed(), "a1 a2 b1 b2 unlogged c1")
	spoil(t, filepath.Join(a.dir, "a.crl"), func([]byte) []byte { return last })
	a.act(Revoke, IssuerSerial, "a")
	s.open("issuer a is revoked", s.refreshed(), "b2 c1")

	s.start(binary)
	for _, d := range s.doors {
		for who, cert := range s.people {
			err := knock(d.port, cert)
			if want := strings.Contains(" "+d.served+" ", " "+who+" "); want != (err == nil) && d.born >= s.born[who] {
				t.Errorf("%s: %s is served: %v (%v)", d.name, who, err == nil, err)
			}
		}
	}
}

// doors are listeners of one Envoy, each with a set of CRLs.
type doors struct {
	t testing.TB
	*authority
	people map[string]*tls.Certificate
	born   map[string]int // how many doors there were before a person
	doors  []door
	dir    string
}

type door struct {
	name, port, served string
	born               int
	set                *Set
}

func (s *doors) person(name, issuer string, logged bool) {
	cert, key := s.leaf(name, issuer, logged)
	s.people[name] = &tls.Certificate{Certificate: [][]byte{cert.Raw, s.certs[issuer].Raw}, PrivateKey: key, Leaf: cert}
	if s.born == nil {
		s.born = map[string]int{}
	}
	s.born[name] = len(s.doors)
}

func (s *doors) revoke(name string) { s.act(Revoke, Serial, serialOf(s.people[name].Leaf)) }

// open adds a listener that must serve exactly these.
func (s *doors) open(name string, set *Set, served string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.doors = append(s.doors, door{name: name, port: port, served: served, born: len(s.doors), set: set})
}

const listener = `
  - name: door-%[1]s
    address: {socket_address: {address: 127.0.0.1, port_value: %[1]s}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %[2]s/server.pem}, private_key: {filename: %[2]s/server.key}}]
            validation_context: {trusted_ca: {filename: %[2]s/root.pem}%[3]s}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: door
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`

// start runs the Envoy until the test ends.
func (s *doors) start(binary string) {
	s.t.Helper()
	server := s.people["b1"]
	der, err := x509.MarshalECPrivateKey(server.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("server.key", "EC PRIVATE KEY", der)
	s.write("server.pem", "CERTIFICATE", server.Certificate...)
	s.write("root.pem", "CERTIFICATE", s.root.Raw)
	config := "static_resources:\n  listeners:"
	for _, d := range s.doors {
		crl := ""
		if len(d.set.CRLs) > 0 {
			s.write(d.port+".crl", "X509 CRL", d.set.CRLs...)
			crl = fmt.Sprintf(", crl: {filename: %s/%s.crl}, only_verify_leaf_cert_crl: true", s.dir, d.port)
		}
		config += fmt.Sprintf(listener, d.port, s.dir, crl)
	}
	file := filepath.Join(s.dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("Envoy said:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); knock(s.doors[0].port, s.people["b2"]) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("Envoy did not become live")
		}
	}
}

func (s *doors) write(name, kind string, ders ...[]byte) {
	s.t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// knock is one request on a connection of its own. The server is not what is tested.
func knock(port string, cert *tls.Certificate) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{*cert}, InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	resp, err := client.Get("https://127.0.0.1:" + port)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return nil
}
