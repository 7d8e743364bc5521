package connections

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

const (
	aliceID  = "spiffe://td/ns/shop/sa/alice"
	bobID    = "spiffe://td/ns/shop/sa/bob"
	serverID = "spiffe://td/ns/shop/sa/server"
)

func testConfig(t testing.TB) Config {
	return Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry()}
}

// running makes a table and runs it.
func running(t testing.TB) *Table {
	table := New(testConfig(t))
	go table.Run(t.Context())
	return table
}

// mesh is an Envoy with a table beside it, its applications and the servers that it
// calls, whose certificates the test sets.
type mesh struct {
	*proxy
	table  *Table
	server atomic.Pointer[tls.Certificate]
}

func startMesh(t testing.TB, table *Table, roots ...*x509.Certificate) *mesh {
	m := &mesh{table: table}
	config := &tls.Config{
		ClientAuth:     tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.server.Load(), nil },
	}
	app, servers := application(t), &http.Server{Handler: http.HandlerFunc(answer), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	secured := listen(t)
	go servers.Serve(tls.NewListener(secured, config))
	t.Cleanup(func() { servers.Close(); app.CloseClientConnections() })
	m.proxy = startProxy(t, table, roots, map[string]string{
		"app": app.Listener.Addr().String(), "echo": echo(t, listen(t)),
		"http-server": secured.Addr().String(), "tcp-server": echo(t, tls.NewListener(listen(t), config)),
	})
	m.serve(t, serverID)
	return m
}

// serve has new connections to the servers meet a new certificate.
func (m *mesh) serve(t testing.TB, id string) *x509.Certificate {
	cert := m.TLS(t, sdstest.Leaf(id, time.Hour))
	m.server.Store(&cert)
	return cert.Leaf
}

// caller is a client with a certificate.
type caller struct {
	*mesh
	config *tls.Config
	leaf   *x509.Certificate
}

func (m *mesh) caller(t testing.TB, id string) caller {
	cert := m.TLS(t, sdstest.Leaf(id, time.Hour))
	return caller{mesh: m, leaf: cert.Leaf, config: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}}
}

func fingerprint(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// line is a live connection or stream whose other end may go.
type line struct {
	what string
	// over is closed when it has ended; at is when.
	over chan struct{}
	at   time.Time
	// speak proves that bytes pass.
	speak func() error
}

func (l *line) follow(read io.Reader) {
	l.over = make(chan struct{})
	go func() {
		io.Copy(io.Discard, read)
		l.at = time.Now()
		close(l.over)
	}()
}

func (l *line) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// raw is a TCP connection; it has said something already if loud.
func (c caller) raw(t testing.TB, what, address string, loud bool) *line {
	t.Helper()
	conn, err := tls.Dial("tcp", address, c.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	l := &line{what: what, speak: func() error { _, err := fmt.Fprint(conn, "hi"); return err }}
	if loud {
		exchange(t, conn)
	}
	l.follow(conn)
	return l
}

// exchange sends and gets its echo.
func exchange(t testing.TB, conn net.Conn) {
	t.Helper()
	fmt.Fprint(conn, "hello")
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
}

// idle is an HTTP/1.1 connection between two requests.
func (c caller) idle(t testing.TB, forwarded string) *line {
	t.Helper()
	conn, err := tls.Dial("tcp", c.http, c.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	read := bufio.NewReader(conn)
	ask := func() error {
		_, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: %s\r\n\r\n", forwarded)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadAll(resp.Body)
	l := &line{what: "idle HTTP/1.1", speak: ask}
	l.follow(read)
	return l
}

// stream is a response that does not end.
func (c caller) stream(t testing.TB, url string, version2 bool) *line {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c.config.Clone(), ForceAttemptHTTP2: version2}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if version2 != (resp.ProtoMajor == 2) {
		t.Fatalf("the stream is %s", resp.Proto)
	}
	l := &line{what: resp.Proto + " stream", speak: func() error { return nil }}
	l.follow(resp.Body)
	return l
}

// inbound are a caller's connections of every kind.
func (c caller) inbound(t testing.TB) []*line {
	return []*line{
		c.raw(t, "TCP", c.tcp, true), c.raw(t, "silent TCP", c.silent, false), c.idle(t, "192.0.2.1"),
		c.stream(t, "https://"+c.http, false), c.stream(t, "https://"+c.http, true),
	}
}

// mustEnd waits for the lines to end and tells how long after since the last did.
func mustEnd(t testing.TB, since time.Time, lines []*line) {
	t.Helper()
	for _, l := range lines {
		select {
		case <-l.over:
			t.Logf("%s ended %s after the order", l.what, l.at.Sub(since))
		case <-time.After(20 * time.Second):
			t.Errorf("%s goes on", l.what)
		}
	}
}

// mustLive proves that lines go on.
func mustLive(t testing.TB, lines []*line) {
	t.Helper()
	for range 2 {
		for _, l := range lines {
			if err := l.speak(); err != nil || l.ended() {
				t.Errorf("%s of a neighbour ended, %v", l.what, err)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// knows waits until the table holds so many connections.
func knows(t testing.TB, table *Table, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d connections are known", n), func() bool {
		table.mu.Lock()
		defer table.mu.Unlock()
		return len(table.connections) == n
	})
}

// obeyed waits until a revision is carried out and nothing is left open.
func obeyed(t testing.TB, table *Table, revision uint64) State {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		state, changed := table.State()
		if state.Revision == revision && state.Open == 0 {
			return state
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("revision %d is not carried out: %+v", revision, state)
		}
	}
}
