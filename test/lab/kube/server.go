package kube

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/program"
)

const (
	// patience is how long the servers may take to start, on a machine with much to do.
	patience = 2 * time.Minute
	// issuer and audience are those of the tokens that the API server takes itself.
	issuer = "https://kubernetes.default.svc"
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 4 << 20
)

// Server is one API server. Its methods fail the test when they do not succeed.
type Server struct {
	// Address is its URL, https.
	Address string
	// CAFile is the PEM certificate to verify it against.
	CAFile string

	administrator string // a token that may do everything
	key           *ecdsa.PrivateKey
	client        *http.Client
	process       *program.Program
}

// Start runs an etcd and an API server, and waits until it is ready.
func Start(t testing.TB) *Server {
	t.Helper()
	apiServer, etcd := need.Kubernetes(t)
	dir := t.TempDir()
	store := fmt.Sprintf("http://127.0.0.1:%d", need.Port(t))
	peers := fmt.Sprintf("http://127.0.0.1:%d", need.Port(t))
	program.Start(t, etcd, "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", store, "--advertise-client-urls", store,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)

	port := need.Port(t)
	// The API server makes apiserver.crt itself, with the CA that signed it.
	s := &Server{Address: fmt.Sprintf("https://127.0.0.1:%d", port), CAFile: filepath.Join(dir, "apiserver.crt"), administrator: rand.Text()}
	tokens, keyFile := filepath.Join(dir, "tokens.csv"), filepath.Join(dir, "accounts.key")
	must(t, os.WriteFile(tokens, []byte(s.administrator+",administrator,1,system:masters\n"), 0o600))
	s.writeKey(t, keyFile)
	s.process = program.Start(t, apiServer, "--etcd-servers", store, "--cert-dir", dir,
		"--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", strconv.Itoa(port),
		"--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.0.0.0/24",
		"--authorization-mode", "RBAC", "--token-auth-file", tokens,
		"--service-account-issuer", issuer, "--service-account-signing-key-file", keyFile, "--service-account-key-file", keyFile)
	s.awaitReady(t)
	return s
}

// writeKey makes the key that signs the tokens of accounts.
func (s *Server) writeKey(t testing.TB, path string) {
	t.Helper()
	var err error
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalECPrivateKey(s.key)
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
}

// awaitReady makes the client as soon as there is a certificate, and waits until the
// server takes requests, its own roles included.
func (s *Server) awaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := s.connect()
		if err == nil {
			err = s.do(ctx, http.MethodGet, "/readyz", nil, nil)
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the API server is not ready after %s: %v", patience, err)
		case <-s.process.Done():
			t.Fatalf("the API server has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) connect() error {
	if s.client != nil {
		return nil
	}
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate", s.CAFile)
	}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	return nil
}

// Ask makes one request of the API, as administrator. Body and answer are objects of
// Kubernetes or nil.
func (s *Server) Ask(t testing.TB, method, path string, body, answer any) {
	t.Helper()
	must(t, s.do(t.Context(), method, path, body, answer))
}

func (s *Server) do(ctx context.Context, method, path string, body, answer any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.Address+path, sent)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	request.Header.Set("Authorization", "Bearer "+s.administrator)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if response.StatusCode/100 != 2 {
		return &refusal{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, response.Status, text)}
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refusal is an answer of the API server that says no.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }
