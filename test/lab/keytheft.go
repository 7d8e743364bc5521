package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"syscall"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// StealKey takes the key and certificate that the pod's Envoy uses now, as a
// process could that runs as Envoy's own user: from the agent's SDS socket.
func (p *Pod) StealKey(ctx context.Context) (tls.Certificate, error) {
	socket := filepath.Join(p.Dir, "run", "sds.sock")
	conn, err := grpc.NewClient("passthrough:///"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, path string) (net.Conn, error) { return dialAs(netns.ProxyUID, path) }))
	if err != nil {
		return tls.Certificate{}, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := secretv3.NewSecretDiscoveryServiceClient(conn).StreamSecrets(ctx)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("stealing the key of %s: %w", p.Name, err)
	}
	ask := &discoveryv3.DiscoveryRequest{
		Node: &corev3.Node{Id: "thief"}, ResourceNames: []string{"default"},
		TypeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
	}
	if err := stream.Send(ask); err != nil {
		return tls.Certificate{}, fmt.Errorf("stealing the key of %s: %w", p.Name, err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("stealing the key of %s: %w", p.Name, err)
	}
	return certificateIn(answer)
}

func certificateIn(answer *discoveryv3.DiscoveryResponse) (tls.Certificate, error) {
	if len(answer.Resources) != 1 {
		return tls.Certificate{}, errors.New("stealing a key: the agent did not answer one secret")
	}
	var secret tlsv3.Secret
	if err := answer.Resources[0].UnmarshalTo(&secret); err != nil {
		return tls.Certificate{}, err
	}
	own := secret.GetTlsCertificate()
	cert, err := tls.X509KeyPair(own.GetCertificateChain().GetInlineBytes(), own.GetPrivateKey().GetInlineBytes())
	if err != nil {
		return tls.Certificate{}, err
	}
	cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0])
	return cert, err
}

// dialAs connects to a Unix socket as another user. Only the thread that connects
// changes its user; it is not given back, and ends with its goroutine.
func dialAs(uid int, path string) (net.Conn, error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread()
		const same = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
			done <- outcome{err: errno}
			return
		}
		conn, err := net.Dial("unix", path)
		done <- outcome{conn, err}
	}()
	o := <-done
	return o.conn, o.err
}
