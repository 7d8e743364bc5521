package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// VaultVersion is the Vault that the project is tested with.
const VaultVersion = "1.21.1"

// Vault is the path of a Vault binary: $ENSIGN_VAULT, else the cache that
// `make vault` fills, else PATH.
func Vault(t testing.TB) string {
	t.Helper()
	if path := VaultPath(); path != "" {
		return path
	}
	skip(t, "no Vault: run `make vault` (ten minutes, once), or set ENSIGN_VAULT")
	return ""
}

// VaultPath is the same outside of tests; "" when there is none.
func VaultPath() string {
	if path := os.Getenv("ENSIGN_VAULT"); path != "" {
		return path
	}
	if path := cached("vault-"+VaultVersion, "vault"); path != "" {
		return path
	}
	path, _ := exec.LookPath("vault")
	return path
}

// cached is a program in the cache that the makefile fills, "" if it is not there.
func cached(folder, name string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	path := filepath.Join(dir, "ensign", folder, name)
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		return ""
	}
	return path
}
