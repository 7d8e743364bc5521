package vaultd

import (
	"net/netip"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/program"
	"github.com/ensign-mesh/ensign/test/lab/vault"
)

// Server is one Vault. Its methods fail the test when they do not succeed.
type Server struct{ *vault.Vault }

// Start makes, runs, initialises and unseals a Vault.
func Start(t testing.TB) *Server {
	t.Helper()
	v, err := vault.New(vault.Config{
		Binary: need.Vault(t), Dir: t.TempDir(), IP: netip.MustParseAddr("127.0.0.1"),
		Port: need.Port(t), ClusterPort: need.Port(t),
		Start: func(argv ...string) (vault.Process, error) { return program.Start(t, argv[0], argv[1:]...), nil },
	})
	must(t, err)
	must(t, v.Begin(t.Context()))
	return &Server{v}
}

// Run starts it again after Kill, sealed as any Vault that starts, and unseals it.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	must(t, s.Vault.Start(t.Context()))
}

// Kill ends it as kill -9 does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	must(t, s.Vault.Kill())
}

// Seal seals it.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	must(t, s.Vault.Seal(t.Context()))
}

// Unseal unseals it and waits until it takes requests.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	must(t, s.Vault.Unseal(t.Context()))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
