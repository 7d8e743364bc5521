package vaultd

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/ensign-mesh/ensign/internal/need"
)

// Setup runs deploy/vault/setup.sh with these variables (NAME=VALUE).
func (s *Server) Setup(t testing.TB, variables ...string) {
	t.Helper()
	// The script calls "vault".
	bin := t.TempDir()
	must(t, os.Symlink(s.binary, filepath.Join(bin, "vault")))
	command := exec.Command(filepath.Join(need.Tree(t), "deploy", "vault", "setup.sh"))
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+bin,
		"VAULT_ADDR="+s.Address, "VAULT_TOKEN="+s.API.Token(), "VAULT_CACERT="+s.CAFile)
	command.Env = append(command.Env, variables...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("setup.sh: %v\n%s", err, out)
	}
}

// NewToken makes a renewable token of a life with these policies.
func (s *Server) NewToken(t testing.TB, life string, policies ...string) string {
	t.Helper()
	made, err := s.API.Auth().Token().Create(&api.TokenCreateRequest{
		Policies: policies, TTL: life, NoDefaultPolicy: true, NoParent: true,
	})
	must(t, err)
	return made.Auth.ClientToken
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
