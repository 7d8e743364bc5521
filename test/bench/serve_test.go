package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/edge"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// control is a discovery server behind the real way in.
type control struct {
	xds     *xds.Server
	reg     *prometheus.Registry
	address string
	ca      *authority
	end     func()
}

func serve(b *testing.B, snap *mesh.Snapshot) *control {
	c := &control{reg: prometheus.NewRegistry(), ca: newAuthority(b)}
	log := slog.New(slog.DiscardHandler)
	server, err := xds.New(xds.Config{Logger: log, Registerer: c.reg})
	if err != nil {
		b.Fatal(err)
	}
	c.xds = server
	server.Update(snap, mesh.ChangeSet{})
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	c.address = listen.Addr().String()
	gate := edge.NewGate(byCertificate{}, byCertificate{}, log, c.reg)
	g := edge.NewServer(c.ca, gate, grpc.ForceServerCodecV2(xds.Codec()))
	server.Register(g)
	go func() { _ = g.Serve(listen) }()
	c.end = g.Stop
	return c
}

// byCertificate believes the SPIFFE ID of a verified certificate.
type byCertificate struct{}

// Proof and Changed: nobody is ever cut off.
func (byCertificate) Proof(identity.Caller) error { return nil }
func (byCertificate) Changed() <-chan struct{}    { return nil }

func (byCertificate) Authenticate(_ context.Context, c identity.Credentials) (identity.Caller, error) {
	if len(c.Chain) == 0 || len(c.Chain[0].URIs) != 1 {
		return identity.Caller{}, errors.New("no certificate with one URI")
	}
	id, err := spiffeid.FromURI(c.Chain[0].URIs[0])
	if err != nil {
		return identity.Caller{}, err
	}
	account, err := identity.AccountFromID(id)
	return identity.Caller{Account: account, Proof: identity.ProofSVID, Expires: c.Chain[0].NotAfter}, err
}

// authority signs the certificates of one run.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	roots       *x509.CertPool
	server      *tls.Certificate
	serial      int64
}

func newAuthority(b *testing.B) *authority {
	a := &authority{roots: x509.NewCertPool()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.certificate, a.key = a.sign(b, template, nil)
	a.roots.AddCert(a.certificate)
	leaf, key := a.sign(b, &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.certificate)
	a.server = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	return a
}

// sign makes a key and a certificate for it; a nil parent signs itself.
func (a *authority) sign(b *testing.B, template, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return leaf, key
}

// ServerCertificate and ClientRoots are what the way in asks for.
func (a *authority) ServerCertificate() (*tls.Certificate, error) { return a.server, nil }

// ClientRoots are the run's own.
func (a *authority) ClientRoots() *x509.CertPool { return a.roots }

// svid is a certificate of one service account, as DER with its key.
func (a *authority) svid(b *testing.B, ns, sa string) (certificate, key []byte) {
	id := &url.URL{Scheme: "spiffe", Host: trustDomain.Name(), Path: "/ns/" + ns + "/sa/" + sa}
	leaf, private := a.sign(b, &x509.Certificate{URIs: []*url.URL{id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.certificate)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	return leaf.Raw, der
}
