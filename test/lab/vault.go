package lab

import (
	"context"
	"os"
	"path/filepath"

	"github.com/ensign-mesh/ensign/test/lab/netns"
	"github.com/ensign-mesh/ensign/test/lab/vault"
)

// VaultConfig says which Vault a lab has.
type VaultConfig struct {
	// Binary is Vault's; empty: the lab has none.
	Binary string
	// Deploy is the folder deploy/vault of this tree, whose setup.sh makes the PKI
	// engine, a first root and the policies.
	Deploy string
	// Role has the mesh begin in Vault, and Vault sign each leaf by that role. Empty: the
	// mesh begins with a built-in root, and Vault signs issuers.
	Role string
	// Bare: nothing is prepared in it, and ensignd is not told of it.
	Bare bool
}

// The engine that setup.sh makes, and the root in it.
const (
	vaultMount = "ensign"
	vaultRoot  = "ensign-1"
)

// Vault is a real Vault in a namespace of its own, with a token file for each of the two
// policies.
type Vault struct {
	*vault.Vault
	Net *netns.Namespace
	// Daily and Rotation are files with tokens of the two policies.
	Daily, Rotation string

	role string
}

// startVault makes, runs, initialises and prepares a Vault.
func (l *Lab) startVault(ctx context.Context, cfg VaultConfig) (*Vault, error) {
	space, err := l.Net.Add(ctx, "vault")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir(), "vault")
	v := &Vault{Net: space, Daily: filepath.Join(dir, "daily-token"), Rotation: filepath.Join(dir, "rotation-token"), role: cfg.Role}
	v.Vault, err = vault.New(vault.Config{
		Binary: cfg.Binary, Dir: dir, IP: space.IP, Port: 8200, ClusterPort: 8201, Dial: l.Net.Hub().Dial,
		Start: func(argv ...string) (vault.Process, error) {
			return space.Start(netns.Spec{Name: "vault", Argv: argv})
		},
	})
	if err != nil {
		return nil, err
	}
	if err := v.Begin(ctx); err != nil {
		return nil, err
	}
	if cfg.Bare {
		return v, nil
	}
	return v, v.prepare(ctx, cfg.Deploy)
}

// prepare is what an administrator does once: setup.sh, and a token of each policy.
func (v *Vault) prepare(ctx context.Context, deploy string) error {
	script, err := filepath.Abs(filepath.Join(deploy, "setup.sh"))
	if err != nil {
		return err
	}
	if err := v.Setup(ctx, v.Net.Command(0, script), "MOUNT="+vaultMount, "ISSUER="+vaultRoot, "ROLE="+v.role); err != nil {
		return err
	}
	daily := "daily"
	if v.role != "" {
		daily = "leaves"
	}
	for policy, file := range map[string]string{daily: v.Daily, "rotation": v.Rotation} {
		token, err := v.NewToken(ctx, "24h", vaultMount+"-"+policy)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// flags are what ensignd must be told of it.
func (v *Vault) flags() []string {
	flags := []string{"--vault-addr", v.Address, "--vault-ca", v.CAFile, "--vault-mount", vaultMount, "--vault-issuer", vaultRoot,
		"--vault-auth", "token:" + v.Daily, "--vault-rotation-auth", "token:" + v.Rotation}
	if v.role != "" {
		flags = append(flags, "--root", "vault", "--vault-sign", "leaves", "--vault-role", v.role)
	}
	return flags
}
