package vaultd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/program"
)

// patience is how long a Vault may take to start, on a machine with much to do.
const patience = 60 * time.Second

// Server is one Vault. Its methods fail the test when they do not succeed.
type Server struct {
	// Address is its URL, https.
	Address string
	// CAFile is the PEM certificate to verify it against.
	CAFile string
	// API asks it as root.
	API *api.Client

	binary, dir, unseal string
	program             *program.Program
}

// Start makes, runs, initialises and unseals a Vault.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{binary: need.Vault(t), dir: t.TempDir()}
	s.CAFile = filepath.Join(s.dir, "tls.pem")
	must(t, writeCertificate(s.dir))
	port := program.FreePort(t)
	s.Address = fmt.Sprintf("https://127.0.0.1:%d", port)
	storage := filepath.Join(s.dir, "storage")
	must(t, errors.Join(os.Mkdir(storage, 0o700), os.Mkdir(s.plugins(), 0o700)))
	config := fmt.Sprintf(`
disable_mlock = true
plugin_directory = %q
api_addr = %q
cluster_addr = "https://127.0.0.1:%d"
storage "raft" {
  path = %q
  node_id = "one"
  performance_multiplier = 1
}
listener "tcp" {
  address = "127.0.0.1:%d"
  tls_cert_file = %q
  tls_key_file = %q
}
`, s.plugins(), s.Address, program.FreePort(t), storage, port, s.CAFile, filepath.Join(s.dir, "tls.key"))
	must(t, os.WriteFile(filepath.Join(s.dir, "vault.hcl"), []byte(config), 0o600))

	settings := api.DefaultConfig()
	settings.Address = s.Address
	must(t, settings.ConfigureTLS(&api.TLSConfig{CACert: s.CAFile}))
	client, err := api.NewClient(settings)
	must(t, err)
	client.SetMaxRetries(0)
	s.API = client
	s.start(t)
	made, err := client.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	must(t, err)
	s.unseal = made.Keys[0]
	client.SetToken(made.RootToken)
	s.Unseal(t)
	return s
}

// Run starts it again after Kill, sealed as any Vault that starts, and unseals it.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.start(t)
	s.Unseal(t)
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	s.program = program.Start(t, s.binary, "server", "-config", filepath.Join(s.dir, "vault.hcl"))
	s.await(t, func(h *api.HealthResponse) bool { return true })
}

// Kill ends it as kill -9 does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.program.Kill()
}

// Seal seals it.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	must(t, s.API.Sys().Seal())
}

// Unseal unseals it and waits until it takes requests.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	_, err := s.API.Sys().Unseal(s.unseal)
	must(t, err)
	s.await(t, func(h *api.HealthResponse) bool { return h.Initialized && !h.Sealed && !h.Standby })
}

func (s *Server) await(t testing.TB, ready func(*api.HealthResponse) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		health, err := s.API.Sys().HealthWithContext(ctx)
		if err == nil && ready(health) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("vault is not ready after %s: %v %+v", patience, err, health)
		case <-s.program.Ended:
			t.Fatalf("vault has ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
