package contract

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	istioca "istio.io/api/security/v1alpha1"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/cli"
	"github.com/ensign-mesh/ensign/internal/daemon"
	"github.com/ensign-mesh/ensign/internal/need"
)

// ensignd is a running control plane.
type ensignd struct {
	t               *testing.T
	listen, metrics string
	data            string
	admin           ensignv1.AdminServiceClient
	roots           *x509.CertPool
}

// start runs ensignd on the mesh of testdata, with more flags, until the test ends.
func start(t *testing.T, flags ...string) *ensignd {
	t.Helper()
	dir := t.TempDir()
	e := &ensignd{t: t, listen: need.Address(t), metrics: need.Address(t), data: filepath.Join(dir, "data")}
	kek := filepath.Join(dir, "kek")
	if code := cli.Run(t.Context(), []string{"kek", "new", "--out", kek}, os.Stdout, os.Stderr); code != 0 {
		t.Fatalf("kek new: exit %d", code)
	}
	args := append([]string{"--manifests", "testdata/mesh", "--data", e.data, "--kek", kek, "--listen", e.listen, "--metrics", e.metrics, "--ledger-listen", "127.0.0.1:0"}, flags...)
	ctx, stop := context.WithCancel(context.Background())
	var log locked
	ended := make(chan int, 1)
	go func() { ended <- daemon.Main(ctx, args, &log, &log) }()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("ensignd ended with %d", code)
		}
		if t.Failed() {
			t.Logf("ensignd said:\n%s", log.String())
		}
	})
	e.waitReady()
	conn, err := grpc.NewClient("unix:"+filepath.Join(e.data, "admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	e.admin = ensignv1.NewAdminServiceClient(conn)
	text, err := os.ReadFile(filepath.Join(e.data, "bundle.pem"))
	if err != nil {
		t.Fatal(err)
	}
	e.roots = x509.NewCertPool()
	e.roots.AppendCertsFromPEM(text)
	return e
}

func (e *ensignd) waitReady() {
	e.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get("http://" + e.metrics + "/readyz")
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	e.t.Fatal("ensignd is not ready")
}

// token proves an account, and a pod if one is named.
func (e *ensignd) token(account, pod string) string {
	e.t.Helper()
	return e.mint(account, pod, time.Hour)
}

func (e *ensignd) mint(account, pod string, ttl time.Duration) string {
	e.t.Helper()
	made, err := e.admin.CreateToken(e.t.Context(), &ensignv1.CreateTokenRequest{
		Namespace: "shop", ServiceAccount: account, Pod: pod, Audience: "istio-ca", Ttl: durationpb.New(ttl),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return made.Token
}

// dial connects to 15012, with a client certificate if there is one.
func (e *ensignd) dial(certs ...tls.Certificate) *grpc.ClientConn {
	e.t.Helper()
	config := &tls.Config{RootCAs: e.roots, ServerName: "istiod.istio-system.svc"}
	if len(certs) > 0 {
		// Shown even if the server does not list its issuer, as an attacker would.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
	}
	creds := credentials.NewTLS(config)
	conn, err := grpc.NewClient(e.listen, grpc.WithTransportCredentials(creds))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	return conn
}

// with adds a bearer token to the calls of a context.
func with(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// request makes a key and a CSR of it, with these URI names.
func request(t *testing.T, template *x509.CertificateRequest) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// svid gets an SVID of an account by a token.
func (e *ensignd) svid(account, pod string) (tls.Certificate, []string) {
	e.t.Helper()
	key, csr := request(e.t, &x509.CertificateRequest{})
	answer, err := istioca.NewIstioCertificateServiceClient(e.dial()).CreateCertificate(
		with(e.t.Context(), e.token(account, pod)), &istioca.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	if err != nil {
		e.t.Fatal(err)
	}
	return certificate(e.t, key, answer.CertChain), answer.CertChain
}

// certificate is a key with the chain that was answered for it.
func certificate(t *testing.T, key *ecdsa.PrivateKey, chain []string) tls.Certificate {
	t.Helper()
	cert := tls.Certificate{PrivateKey: key}
	for _, text := range chain[:len(chain)-1] {
		block, _ := pem.Decode([]byte(text))
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	var err error
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return cert
}

// locked is a buffer that many may write to.
type locked struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.text.String())
}
