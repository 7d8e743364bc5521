package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"
)

// thiefTimeout bounds each thing that a thief tries.
const thiefTimeout = 5 * time.Second

// Thief uses a key and certificate that are not its own, from a pod of its own
// that has no sidecar, straight against the sidecars of others.
type Thief struct {
	Pod  *Pod
	Cert tls.Certificate
	// sessions lets TLS sessions be resumed, if a server offers it.
	sessions tls.ClientSessionCache
}

// NewThief is a thief in that pod with that loot.
func NewThief(pod *Pod, loot tls.Certificate) *Thief {
	return &Thief{Pod: pod, Cert: loot, sessions: tls.NewLRUClientSessionCache(8)}
}

// dial makes a TLS connection to a port of a pod. A server's own certificate is
// not what is tested: it is not looked at.
func (t *Thief) dial(ctx context.Context, victim *Pod, port int, alpn ...string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, thiefTimeout)
	defer cancel()
	raw, err := t.Pod.Net.Dial(ctx, "tcp", net.JoinHostPort(victim.Net.IP.String(), strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{
		Certificates: []tls.Certificate{t.Cert}, InsecureSkipVerify: true, NextProtos: alpn,
		ServerName: victim.Name, ClientSessionCache: t.sessions,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// HTTP opens one connection that speaks HTTP/1.1 or HTTP/2 and stays open.
func (t *Thief) HTTP(ctx context.Context, victim *Pod, port, version int) (*ThiefHTTP, error) {
	alpn := []string{"istio", "http/1.1"}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	if version == 2 {
		alpn, protocols = []string{"istio", "h2"}, new(http.Protocols)
		protocols.SetHTTP2(true)
	}
	transport := &http.Transport{Protocols: protocols, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return t.dial(ctx, victim, port, alpn...)
	}}
	conn, err := transport.NewClientConn(ctx, "https", net.JoinHostPort(victim.Name, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return &ThiefHTTP{conn: conn, host: victim.Name + "." + victim.Namespace}, nil
}

// ThiefHTTP is one live HTTP connection; it is never opened again.
type ThiefHTTP struct {
	conn *http.ClientConn
	host string
}

// Get asks for a path. The status is what the server said; an error means that it
// said nothing: the connection is gone.
func (h *ThiefHTTP) Get(ctx context.Context, path string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, thiefTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.host+path, nil)
	if err != nil {
		return 0, err
	}
	answer, err := h.conn.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}

// Close ends the connection.
func (h *ThiefHTTP) Close() error { return h.conn.Close() }

// TCP opens one connection to a line echo and stays silent.
func (t *Thief) TCP(ctx context.Context, victim *Pod, port int) (*ThiefTCP, error) {
	conn, err := t.dial(ctx, victim, port, "istio")
	if err != nil {
		return nil, err
	}
	return &ThiefTCP{conn: conn, lines: bufio.NewReader(conn)}, nil
}

// ThiefTCP is one live connection to a line echo.
type ThiefTCP struct {
	conn  *tls.Conn
	lines *bufio.Reader
}

// Echo says whether a line comes back.
func (c *ThiefTCP) Echo() error {
	if err := c.conn.SetDeadline(time.Now().Add(thiefTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.conn, "stolen"); err != nil {
		return err
	}
	line, err := c.lines.ReadString('\n')
	if err == nil && line != "stolen\n" {
		err = fmt.Errorf("the echo answered %q", line)
	}
	return err
}

// Close ends the connection.
func (c *ThiefTCP) Close() error { return c.conn.Close() }

// Fresh tries a new connection, with a TLS session to resume if there is one.
func (t *Thief) Fresh(ctx context.Context, victim *Pod, port int) (resumed bool, err error) {
	conn, err := t.dial(ctx, victim, port, "istio", "http/1.1")
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(thiefTimeout)); err != nil {
		return false, err
	}
	// In TLS 1.3 a server's refusal of a certificate comes with the first answer.
	if _, err := fmt.Fprintf(conn, "GET /books/1 HTTP/1.1\r\nHost: %s\r\n\r\n", victim.Name); err != nil {
		return false, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false, err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d", answer.StatusCode)
	}
	return conn.ConnectionState().DidResume, nil
}

// Serve answers every HTTP request on a port of the thief's pod with the loot as
// server certificate, until ctx ends.
func (t *Thief) Serve(ctx context.Context, port int) error {
	raw, err := t.Pod.Net.Listen(ctx, ":"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"service":"thief","version":"v1"}`)
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{t.Cert}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}},
		ReadHeaderTimeout: thiefTimeout, ErrorLog: log.New(io.Discard, "", 0), // clients that refuse it are what is wanted
	}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.ServeTLS(raw, "", "")
	return nil
}
