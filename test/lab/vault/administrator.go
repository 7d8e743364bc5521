package vault

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/hashicorp/vault/api"
)

// Setup runs deploy/vault/setup.sh, which argv ends with, as root of this Vault and with
// these variables (NAME=VALUE).
func (v *Vault) Setup(ctx context.Context, argv []string, variables ...string) error {
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Env = append(os.Environ(), "PATH="+v.Bin()+":"+os.Getenv("PATH"), "HOME="+v.cfg.Dir,
		"VAULT_ADDR="+v.Address, "VAULT_TOKEN="+v.API.Token(), "VAULT_CACERT="+v.CAFile)
	command.Env = append(command.Env, variables...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("setting up vault: %w: %s", err, out)
	}
	return nil
}

// NewToken makes a renewable token of a life ("1h") with these policies and no other.
func (v *Vault) NewToken(ctx context.Context, life string, policies ...string) (string, error) {
	made, err := v.API.Auth().Token().CreateWithContext(ctx, &api.TokenCreateRequest{
		Policies: policies, TTL: life, NoDefaultPolicy: true, NoParent: true,
	})
	if err != nil {
		return "", fmt.Errorf("making a token of vault's policies %q: %w", policies, err)
	}
	return made.Auth.ClientToken, nil
}
