package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// target says where ensignd is.
type target struct {
	data              string
	server            string
	cert, key, bundle string
}

func (t *target) register(flags *pflag.FlagSet) {
	flags.StringVar(&t.data, "data", "", "ensignd's data folder, whose admin.sock is used (default $ENSIGN_DATA)")
	flags.StringVar(&t.server, "server", "", "HOST:PORT of ensignd instead of the admin socket; needs --cert, --key and --bundle")
	flags.StringVar(&t.cert, "cert", "", "certificate chain of an SVID that ensignd lists by --admin (PEM)")
	flags.StringVar(&t.key, "key", "", "private key of --cert (PEM)")
	flags.StringVar(&t.bundle, "bundle", "", "roots that ensignd must prove itself with (PEM)")
}

// folder is ensignd's data folder, "" if nobody said.
func (t target) folder() string {
	if t.data != "" {
		return t.data
	}
	return os.Getenv("ENSIGN_DATA")
}

// dial connects to the admin API.
func (t target) dial() (ensignv1.AdminServiceClient, func() error, error) {
	if t.server != "" {
		return t.dialNetwork()
	}
	data := t.folder()
	if data == "" {
		return nil, nil, usagef("where is ensignd? give --data DIR, or set ENSIGN_DATA, or give --server")
	}
	path := filepath.Join(data, "admin.sock")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s is not there: is ensignd running with --data %s?", path, data)
	}
	// The socket is guarded by the kernel on both sides; the option's name means only "no TLS".
	return client("unix:"+path, insecure.NewCredentials(), nil)
}

func (t target) dialNetwork() (ensignv1.AdminServiceClient, func() error, error) {
	if t.cert == "" || t.key == "" || t.bundle == "" {
		return nil, nil, usagef("--server needs --cert, --key and --bundle")
	}
	host, _, err := net.SplitHostPort(t.server)
	if err != nil {
		return nil, nil, usagef("--server %s is not HOST:PORT", t.server)
	}
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return nil, nil, fmt.Errorf("loading the admin's SVID: %w", err)
	}
	text, err := os.ReadFile(t.bundle)
	if err != nil {
		return nil, nil, fmt.Errorf("loading the bundle: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, nil, fmt.Errorf("loading the bundle: %s holds no certificate", t.bundle)
	}
	return client("dns:///"+t.server, credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   host,
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
	}), nil)
}

func client(address string, creds credentials.TransportCredentials, more []grpc.DialOption) (ensignv1.AdminServiceClient, func() error, error) {
	conn, err := grpc.NewClient(address, append(more, grpc.WithTransportCredentials(creds))...)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return ensignv1.NewAdminServiceClient(conn), conn.Close, nil
}

// with runs ask on a connection, and closes it.
func (g *globals) with(ctx context.Context, ask func(context.Context, ensignv1.AdminServiceClient) error) error {
	admin, hangUp, err := g.target.dial()
	if err != nil {
		return err
	}
	defer hangUp()
	return plain(ask(ctx, admin))
}

// plain takes gRPC's dressing off an error that a person reads.
func plain(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("ensignd does not answer: %s", s.Message())
	case codes.InvalidArgument:
		return usagef("%s", s.Message())
	}
	return errors.New(s.Message())
}
