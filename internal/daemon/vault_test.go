package daemon

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca/upstream/vault"
)

func vaultFlagsOf(t *testing.T, args ...string) *vaultFlags {
	t.Helper()
	f := &vaultFlags{}
	set := pflag.NewFlagSet("ensignd", pflag.ContinueOnError)
	f.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

// noLedger is never asked: a place asks nobody when it is made.
type noLedger struct{ vault.Ledger }

func TestFlagsOfVault(t *testing.T) {
	with := func(more ...string) []string {
		return append([]string{"--vault-addr", "https://vault.example:8200"}, more...)
	}
	for _, args := range [][]string{
		with("--vault-auth", "token:/run/token"),
		with("--vault-auth", "approle:ensignd:/run/secret-id", "--vault-rotation-auth", "token:/run/rotation"),
		with("--vault-auth", "approle@mesh/roles:ensignd:/run/secret-id", "--vault-issuer", "ensign-1", "--vault-namespace", "a/b"),
		with("--vault-auth", "jwt:ensignd:/run/a:b", "--vault-mount", "pki/mesh"),
		with("--vault-auth", "kubernetes@cluster-1:ensignd:/var/run/secrets/tokens/vault"),
	} {
		f := vaultFlagsOf(t, args...)
		if err := f.check(); err != nil || !f.set() {
			t.Errorf("%q: %v", args, err)
		}
		if _, err := f.place(spiffeid.RequireTrustDomainFromString("cluster.local"), noLedger{}, nil, nil); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	leaves := vaultFlagsOf(t, with("--vault-auth", "token:/run/token", "--vault-sign", "leaves", "--vault-role", "svid")...)
	if cfg, err := leaves.config(); leaves.check() != nil || err != nil || cfg.Role != "svid" {
		t.Errorf("leaves: %v, %v, role %q", leaves.check(), err, cfg.Role)
	}
	if f := vaultFlagsOf(t); f.check() != nil || f.set() {
		t.Error("no vault is no vault")
	}
}

func TestFlagsOfVaultThatAreRefused(t *testing.T) {
	auth := []string{"--vault-auth", "token:/run/token"}
	at := append([]string{"--vault-addr", "https://vault.example:8200"}, auth...)
	for says, args := range map[string][]string{
		"--vault-addr is missing":    auth,
		"--vault-auth is missing":    {"--vault-addr", "https://vault.example:8200"},
		"flags of Vault are there":   {"--vault-sign", "leaves"},
		`--vault-sign "all": want`:   append([]string{"--vault-sign", "all"}, at...),
		"needs --vault-role":         append([]string{"--vault-sign", "leaves"}, at...),
		"only with --vault-sign":     append([]string{"--vault-role", "svid"}, at...),
		"not the name of a role":     append([]string{"--vault-sign", "leaves", "--vault-role", "a/b"}, at...),
		"in the clear":               {"--vault-addr", "http://vault.example:8200", "--vault-auth", "token:/run/token"},
		"a login of its own":         append([]string{"--vault-rotation-auth", "token:/run/token"}, at...),
		`--vault-rotation-auth "tok`: append([]string{"--vault-rotation-auth", "tok:x"}, at...),
		"PKI engine":                 append([]string{"--vault-mount", "/ensign/"}, at...),
		"whichever":                  append([]string{"--vault-issuer", "default"}, at...),
		"no such file":               append([]string{"--vault-ca", "/nowhere/ca.pem"}, at...),
		`"token:": want token:FILE`:  {"--vault-addr", "https://v", "--vault-auth", "token:"},
		`"token@x:/f": want`:         {"--vault-addr", "https://v", "--vault-auth", "token@x:/f"},
		`"approle:role": want`:       {"--vault-addr", "https://v", "--vault-auth", "approle:role"},
		`"approle:role:": want`:      {"--vault-addr", "https://v", "--vault-auth", "approle:role:"},
		`"jwt@:role:/f": want`:       {"--vault-addr", "https://v", "--vault-auth", "jwt@:role:/f"},
		`"jwt@../sys:role:/f": want`: {"--vault-addr", "https://v", "--vault-auth", "jwt@../sys:role:/f"},
		`"ldap:me:/f": want`:         {"--vault-addr", "https://v", "--vault-auth", "ldap:me:/f"},
		`"kubernetes": want`:         {"--vault-addr", "https://v", "--vault-auth", "kubernetes"},
	} {
		if err := vaultFlagsOf(t, args...).check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q in it", args, err, says)
		}
	}
}
