package vaultd

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Register gives Vault a login method that it was built without, from a plugin's file.
func (s *Server) Register(t testing.TB, method, path string) {
	t.Helper()
	program, err := os.ReadFile(path)
	must(t, err)
	// Vault runs nothing that a link leads to.
	must(t, os.WriteFile(filepath.Join(s.Plugins(), method), program, 0o700))
	sum := sha256.Sum256(program)
	must(t, s.API.Sys().RegisterPluginWithContext(t.Context(), &api.RegisterPluginInput{
		Name: method, Type: api.PluginTypeCredential, Command: method, SHA256: hex.EncodeToString(sum[:])}))
}
