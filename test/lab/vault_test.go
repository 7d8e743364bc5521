package lab

import (
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

func TestVaultComesBackWithWhatItHeld(t *testing.T) {
	need.Root(t)
	binary, ctx := need.Vault(t), t.Context()
	network, err := netns.Open(ctx, netns.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &Lab{Net: network}
	v, err := l.startVault(ctx, VaultConfig{Binary: binary, Deploy: need.Tree(t) + "/deploy/vault"})
	if err != nil {
		t.Fatal(err)
	}
	root := func() (any, error) {
		answer, err := v.API.Logical().ReadWithContext(ctx, vaultMount+"/issuer/"+vaultRoot)
		if err != nil {
			return nil, err
		}
		return answer.Data["certificate"], nil
	}
	before, err := root()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := root(); err == nil {
		t.Errorf("sealed, it answers %v", got)
	}
	if err := v.Unseal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := v.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if after, err := root(); err != nil || after != before {
		t.Errorf("after a restart: %v, %v", after, err)
	}
}
