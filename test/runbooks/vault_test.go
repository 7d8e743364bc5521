package runbooks

import (
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

func TestTurnOnVault(t *testing.T) {
	vault := withVault(t)
	vault.Bare = true
	l := mesh(t, lab.Config{Vault: vault})
	populate(t, l)
	p := play{book: "turn-on-vault", variables: []string{
		"TREE=" + tree(t), "SECRETS=" + t.TempDir(),
		"VAULT_ADDR=" + l.Vault.Address, "VAULT_CACERT=" + l.Vault.CAFile, "VAULT_TOKEN=" + l.Vault.API.Token(),
	}}
	unnoticed(t, l, func() { p.follow(t, l) })
	lives(t, l, "vault")
}

// Vault is gone with all that it kept, and ensignd was started since.
func TestVaultLost(t *testing.T) {
	l := mesh(t, lab.Config{Vault: withVault(t), Daemon: []string{"--root", "vault"}})
	populate(t, l)
	lives(t, l, "vault")
	if err := l.Vault.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := l.Control.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	unnoticed(t, l, func() { play{book: "vault-lost"}.follow(t, l) })
	a := lives(t, l, "builtin")
	for _, root := range a.Roots {
		if root.Compromised {
			t.Errorf("%s was only lost, and is called compromised", root.Name)
		}
	}
	// As it ends: without Vault's flags.
	stop(t, l)
	shell, err := l.Control.Shell(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	restart := "ensignd --manifests $MANIFESTS --data $DATA --kek $KEK $(sed -E 's/--(vault-[a-z-]+|root) [^ ]+//g' <<<$FLAGS) 2>>$LOG &"
	if r := typed(t, shell, restart); r.Code != 0 {
		t.Fatal(r.Output)
	}
	eventually(t, func() error { return check(t, l, "proxy", "status", "--check") })
	if r := l.Ensign(t.Context(), "ca", "status"); r.Code != 0 || strings.Contains(r.Output, "NOTHING") || strings.Contains(r.Output, "NOT WELL") {
		t.Errorf("exit %d:\n%s", r.Code, r.Output)
	}
	lives(t, l, "builtin")
}
