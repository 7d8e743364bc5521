package need

import "testing"

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
	return found("ENSIGN_VAULT", "vault-"+VaultVersion, "vault")
}
