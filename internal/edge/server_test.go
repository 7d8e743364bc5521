package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"
)

// self is a server that is its own root.
type self struct {
	pair  tls.Certificate
	roots *x509.CertPool
}

func newSelf(t *testing.T) self {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := self{pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: x509.NewCertPool()}
	s.roots.AddCert(root)
	return s
}

func (s self) ServerCertificate() (*tls.Certificate, error) { return &s.pair, nil }
func (s self) ClientRoots() *x509.CertPool                  { return s.roots }

// TestAConnectionWithoutStreamsIsClosed: the client answers every ping, and would
// keep its connection for ever.
func TestAConnectionWithoutStreamsIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newSelf(t)
		gate, _ := newGate(verdict{})
		server := NewServer(id, gate)
		pipe := bufconn.Listen(64 << 10)
		served := make(chan error, 1)
		go func() { served <- server.Serve(pipe) }()
		conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithIdleTimeout(0),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: "localhost"})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		conn.Connect()
		state := conn.GetState()
		for state != connectivity.Ready && conn.WaitForStateChange(ctx, state) {
			state = conn.GetState()
		}
		begun := time.Now()
		if !conn.WaitForStateChange(ctx, connectivity.Ready) {
			t.Error("the connection stays")
		}
		if took := time.Since(begun); took > 2*idleFor {
			t.Errorf("closed after %v", took)
		}
		conn.Close()
		server.Stop()
		<-served
		synctest.Wait()
	})
}
