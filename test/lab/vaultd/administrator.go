package vaultd

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/ensign-mesh/ensign/internal/need"
)

// Setup runs deploy/vault/setup.sh with these variables (NAME=VALUE).
func (s *Server) Setup(t testing.TB, variables ...string) {
	t.Helper()
	must(t, s.Vault.Setup(t.Context(), []string{filepath.Join(need.Tree(t), "deploy", "vault", "setup.sh")}, variables...))
}

// NewToken makes a renewable token of a life with these policies.
func (s *Server) NewToken(t testing.TB, life string, policies ...string) string {
	t.Helper()
	token, err := s.Vault.NewToken(t.Context(), life, policies...)
	must(t, err)
	return token
}

// Write writes as root.
func (s *Server) Write(t testing.TB, path string, body map[string]any) *api.Secret {
	t.Helper()
	answer, err := s.API.Logical().WriteWithContext(t.Context(), path, body)
	must(t, err)
	return answer
}

// As asks with another token.
func (s *Server) As(t testing.TB, token string) *api.Client {
	t.Helper()
	client, err := s.API.Clone()
	must(t, err)
	client.SetToken(token)
	return client
}
