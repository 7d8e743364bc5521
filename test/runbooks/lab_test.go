package runbooks

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// settled is how long a change may take to reach every Envoy.
const settled = 30 * time.Second

const books = "http://catalog.stock:9080/books/1"

// handshakes has each request of the reader be one with the catalog.
const handshakes = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: stock}
spec:
  host: catalog.stock.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
`

// strict, in the place of the bookshop's, lets nobody past mTLS.
const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: stock}
spec:
  mtls: {mode: STRICT}
`

// pods are a reader, what it reads, and one that no request passes through.
func pods() []lab.PodSpec {
	var wanted []lab.PodSpec
	for _, p := range lab.Bookshop() {
		switch p.Name {
		case "reader", "catalog", "ratings":
			wanted = append(wanted, p)
		}
	}
	return wanted
}

// mesh is a lab of its own, without pods.
func mesh(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	need.Root(t)
	cfg.Bin = need.Programs(t, "ensignd", "ensign-agent", "ensign", "bookshop")
	cfg.Envoy = need.Envoy(t)
	cfg.Manifests = filepath.Join(need.Tree(t), "examples", "bookshop", "manifests")
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	l, err := lab.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(l.Net.Logs(), "*.log"))
			for _, file := range logs {
				text, _ := os.ReadFile(file)
				t.Logf("%s ends:\n%s", filepath.Base(file), text[max(0, len(text)-2000):])
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]string{"test-handshakes.yaml": handshakes, "mtls.yaml": strict} {
		if err := l.Apply(name, text); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// tree is the checkout.
func tree(t *testing.T) string {
	t.Helper()
	return need.Tree(t)
}

// withVault is a lab beside a real Vault.
func withVault(t *testing.T) lab.VaultConfig {
	t.Helper()
	return lab.VaultConfig{Binary: need.Vault(t), Deploy: filepath.Join(tree(t), "deploy", "vault")}
}

// populate adds the pods, and waits until the reader gets what it asks for.
func populate(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.AddPods(t.Context(), pods()...); err != nil {
		t.Fatal(err)
	}
	passes(t, l)
}

// passes waits until requests from the reader do, on fresh connections.
func passes(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventually(t, func() error {
		for range 3 {
			if err := ask(t.Context(), l); err != nil {
				return err
			}
		}
		return nil
	})
}

// ask is one request of the reader on a fresh connection.
func ask(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answer, err := l.Pod("reader").Get(ctx, books)
	if err == nil && answer.Status != 200 {
		err = fmt.Errorf("%s: status %d: %s", books, answer.Status, answer.Body)
	}
	return err
}

// eventually waits until check is content, and fails with its last complaint.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(settled)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", settled, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// unnoticed runs requests while act runs; none may fail.
func unnoticed(t *testing.T, l *lab.Lab, act func()) {
	t.Helper()
	end := traffic(t, l)
	act()
	end()
}

// traffic runs requests until its end is called; none may have failed then.
func traffic(t *testing.T, l *lab.Lab) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	reports := make(chan load.Report, 1)
	before, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		r, err := l.Pod("reader").Load(ctx, load.Plan{URL: books, Fresh: true, Workers: 4, Rate: 50, For: 10 * time.Minute})
		if err != nil {
			t.Error(err)
		}
		reports <- r
	}()
	return func() {
		t.Helper()
		stop()
		if r := <-reports; r.Failed > 0 || r.Sent < 50 {
			t.Errorf("%d of %d requests failed: %s", r.Failed, r.Sent, r)
		}
		after, err := l.Zero(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		delta := after.Since(before)
		if faults := delta.Faults(); len(faults) > 0 {
			t.Errorf("faults behind the client's back: %s", strings.Join(faults, "; "))
		}
		if n := delta["catalog"]["ssl.handshake"]; n < 50 {
			t.Errorf("%d handshakes with the catalog: this test does not test what it says", n)
		}
	}
}

// lives wants everybody to live on one root in this place, which alone is trusted, and
// the record to hold.
func lives(t *testing.T, l *lab.Lab, place string) lab.Authority {
	t.Helper()
	passes(t, l)
	a, err := l.Authority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := a.Signing()
	if trusted := a.Trusted(); len(trusted) != 1 || trusted[0] != now.Fingerprint || now.Place != place {
		t.Errorf("%s in %s signs, and %v are trusted; want one root in %s", now.Name, now.Place, trusted, place)
	}
	if a.Issuer.Root != now.Fingerprint || a.Issuer.Problem != "" {
		t.Errorf("the issuer leads to %.12s, and not to %.12s; %s", a.Issuer.Root, now.Fingerprint, a.Issuer.Problem)
	}
	bundle, err := os.ReadFile(filepath.Join(l.Control.Data, "bundle.pem"))
	if err != nil {
		t.Fatal(err)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	options.Roots.AppendCertsFromPEM(bundle)
	for _, p := range l.Sidecars() {
		cert, err := p.StealKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		options.Intermediates = x509.NewCertPool()
		for _, der := range cert.Certificate[1:] {
			issuer, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			options.Intermediates.AddCert(issuer)
		}
		if _, err := cert.Leaf.Verify(options); err != nil {
			t.Errorf("the Envoy of %s lives on another root than that of bundle.pem: %v", p.Name, err)
		}
	}
	for _, args := range [][]string{{"audit", "verify"}, {"proxy", "status", "--check"}} {
		if err := check(t, l, args...); err != nil {
			t.Error(err)
		}
	}
	return a
}

// check is a command that is to end with 0.
func check(t *testing.T, l *lab.Lab, args ...string) error {
	t.Helper()
	if r := l.Ensign(t.Context(), args...); r.Code != 0 {
		return fmt.Errorf("%s: exit %d:\n%s", r.Line, r.Code, r.Output)
	}
	return nil
}
