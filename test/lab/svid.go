package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

// SVID gets a certificate for an account as any client of Istio's CSR RPC would,
// for connections that no Envoy makes.
func (l *Lab) SVID(ctx context.Context, namespace, account string, ttl time.Duration) (tls.Certificate, error) {
	token, err := l.token(ctx, namespace, account)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	conn, err := l.dialControl()
	if err != nil {
		return tls.Certificate{}, err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	answer, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{
		Csr:              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
		ValidityDuration: int64(ttl.Seconds()),
	})
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("asking for a certificate: %w", err)
	}
	cert := tls.Certificate{PrivateKey: key}
	// The last element holds the roots, which a peer is not sent.
	for _, text := range answer.CertChain[:max(0, len(answer.CertChain)-1)] {
		for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
			cert.Certificate = append(cert.Certificate, block.Bytes)
		}
	}
	if len(cert.Certificate) == 0 {
		return tls.Certificate{}, errors.New("asking for a certificate: the chain is empty")
	}
	cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0])
	return cert, err
}

func (l *Lab) token(ctx context.Context, namespace, account string) (string, error) {
	dir, err := os.MkdirTemp(l.Dir(), "token")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "token")
	if r := l.Ensign(ctx, "token", "create", "--namespace", namespace, "--serviceaccount", account, "--ttl", "1h", "--out", file); r.Code != 0 {
		return "", fmt.Errorf("making a token: %s", r.Output)
	}
	data, err := os.ReadFile(file)
	return strings.TrimSpace(string(data)), err
}

// Roots are those that ensignd wrote to its bundle.
func (l *Lab) Roots() (*x509.CertPool, error) {
	data, err := os.ReadFile(filepath.Join(l.Control.Data, "bundle.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("no certificate in ensignd's bundle")
	}
	return pool, nil
}

func (l *Lab) dialControl() (*grpc.ClientConn, error) {
	roots, err := l.Roots()
	if err != nil {
		return nil, err
	}
	// From the hub: it reaches ensignd, and this process's own network does not.
	return grpc.NewClient("passthrough:///"+net.JoinHostPort(l.Control.Net.IP.String(), "15012"),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: controlHost, MinVersion: tls.VersionTLS12})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return l.Net.Hub().Dial(ctx, "tcp", address)
		}))
}
