package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/need"
)

// twoPods are shop/web-1 and shop/web-2, of one account.
const twoPods = `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop, uid: u1}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, uid: p1, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: c, image: x}]}
status: {podIP: 10.0.0.5, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: shop, uid: p2, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: c, image: x}]}
status: {podIP: 10.0.0.6, phase: Running}
`

// process is a running ensignd over twoPods.
type process struct {
	t               *testing.T
	dir             string
	listen, metrics string
	admin           ensignv1.AdminServiceClient
	stop            func()
}

// startProcess runs ensignd until the test ends, or stop is called; again on the same
// folder it is the next start.
func startProcess(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	p, args := newProcess(t, dir, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	log, ended := &transcript{}, make(chan int, 1)
	go func() { ended <- Main(ctx, args, log, log) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("ensignd ended with %d", code)
		}
	})
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("ensignd said:\n%s", log)
		}
	})
	p.untilReady()
	return p
}

// newProcess is one that does not run yet, and ensignd's arguments for it.
func newProcess(t *testing.T, dir string, flags ...string) (p *process, args []string) {
	t.Helper()
	p = &process{t: t, dir: dir, listen: need.Address(t), metrics: need.Address(t)}
	manifests, kek := filepath.Join(dir, "mesh"), filepath.Join(dir, "kek")
	if _, err := os.Stat(kek); err != nil {
		if err := os.Mkdir(manifests, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(manifests, "mesh.yaml"), []byte(twoPods), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kek, []byte(keystore.NewKEK().Encode()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "data", "admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p.admin = ensignv1.NewAdminServiceClient(conn)
	return p, append([]string{"--manifests", manifests, "--data", filepath.Join(dir, "data"), "--kek", kek,
		"--listen", p.listen, "--metrics", p.metrics, "--ledger-listen", ""}, flags...)
}

func (p *process) untilReady() {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get("http://" + p.metrics + "/readyz")
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	p.t.Fatal("ensignd is not ready")
}

// bundle is what agents are given: bundle.pem.
func (p *process) bundle() ca.Bundle {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "data", "bundle.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := ca.ParseBundle(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// dial connects to 15012 as one who trusts some roots, and shows a certificate if it has one.
func (p *process) dial(roots ca.Bundle, shown *tls.Certificate) *grpc.ClientConn {
	p.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	for _, root := range roots.Roots() {
		config.RootCAs.AddCert(root)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if shown == nil {
			return &tls.Certificate{}, nil
		}
		return shown, nil
	}
	conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// token is one of the account web, bound to a pod if one is named.
func (p *process) token(pod string) string {
	p.t.Helper()
	made, err := p.admin.CreateToken(p.t.Context(), &ensignv1.CreateTokenRequest{
		Namespace: "shop", ServiceAccount: "web", Pod: pod, Audience: "istio-ca", Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return made.Token
}

// transcript is a log that many may write to.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
