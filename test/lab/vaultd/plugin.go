package vaultd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Register gives Vault a login method that it was built without, from a plugin's file.
func (s *Server) Register(t testing.TB, method, path string) {
	t.Helper()
	// A plugin outlives a Vault that is killed, as it is with a test that is killed: the
	// kernel ends it then.
	setpriv, err := exec.LookPath("setpriv")
	must(t, err)
	script := fmt.Appendf(nil, "#!/bin/sh\nexec '%s' --pdeathsig KILL '%s' \"$@\"\n", setpriv, path)
	must(t, os.WriteFile(filepath.Join(s.Plugins(), method), script, 0o700))
	sum := sha256.Sum256(script)
	must(t, s.API.Sys().RegisterPluginWithContext(t.Context(), &api.RegisterPluginInput{
		Name: method, Type: api.PluginTypeCredential, Command: method, SHA256: hex.EncodeToString(sum[:])}))
}
