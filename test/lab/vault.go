package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ensign-mesh/ensign/test/lab/netns"
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

// Vault is a real Vault in a namespace of its own: with TLS, one key share, and a
// token file for each of the two policies.
type Vault struct {
	Net *netns.Namespace
	// Address is its URL, CAFile what its certificate is verified against.
	Address, CAFile string
	// Daily and Rotation are files with tokens of the two policies.
	Daily, Rotation string
	// API asks it as root.
	API *api.Client

	binary, dir, role, unseal string
	mu                        sync.Mutex
	process                   *netns.Process
}

// startVault makes, runs, initialises and prepares a Vault.
func (l *Lab) startVault(ctx context.Context, cfg VaultConfig) (*Vault, error) {
	space, err := l.Net.Add(ctx, "vault")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir(), "vault")
	if err := os.MkdirAll(filepath.Join(dir, "storage"), 0o700); err != nil {
		return nil, err
	}
	v := &Vault{
		Net: space, Address: "https://" + space.IP.String() + ":8200", CAFile: filepath.Join(dir, "tls.pem"),
		Daily: filepath.Join(dir, "daily-token"), Rotation: filepath.Join(dir, "rotation-token"), binary: cfg.Binary, dir: dir, role: cfg.Role,
	}
	if err := errors.Join(v.configure(), v.link()); err != nil {
		return nil, err
	}
	if err := v.connect(l.Net.Hub()); err != nil {
		return nil, err
	}
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	made, err := v.API.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return nil, fmt.Errorf("initialising vault: %w", err)
	}
	v.unseal = made.Keys[0]
	v.API.SetToken(made.RootToken)
	if err := v.Unseal(ctx); err != nil {
		return nil, err
	}
	if cfg.Bare {
		return v, nil
	}
	return v, v.prepare(ctx, cfg.Deploy)
}

// configure writes its certificate and vault.hcl.
func (v *Vault) configure() error {
	if err := writeServerCertificate(v.dir, v.Net.IP); err != nil {
		return fmt.Errorf("making vault's certificate: %w", err)
	}
	text := fmt.Sprintf(`disable_mlock = true
api_addr = %q
cluster_addr = "https://%s:8201"
storage "raft" {
  path = %q
  node_id = "one"
  performance_multiplier = 1
}
listener "tcp" {
  address = "%s:8200"
  tls_cert_file = %q
  tls_key_file = %q
}
`, v.Address, v.Net.IP, filepath.Join(v.dir, "storage"), v.Net.IP, v.CAFile, filepath.Join(v.dir, "tls.key"))
	return os.WriteFile(filepath.Join(v.dir, "vault.hcl"), []byte(text), 0o600)
}

// connect makes the client, which reaches Vault from the hub.
func (v *Vault) connect(hub *netns.Namespace) error {
	settings := api.DefaultConfig()
	settings.Address = v.Address
	if err := settings.ConfigureTLS(&api.TLSConfig{CACert: v.CAFile}); err != nil {
		return fmt.Errorf("reading vault's certificate: %w", err)
	}
	transport, ok := settings.HttpClient.Transport.(*http.Transport)
	if !ok {
		return errors.New("vault's client has another transport than HTTP's")
	}
	transport.DialContext, transport.Proxy = hub.Dial, nil
	var err error
	if v.API, err = api.NewClient(settings); err != nil {
		return fmt.Errorf("making vault's client: %w", err)
	}
	v.API.SetMaxRetries(0)
	return nil
}

// Bin is a folder with the command "vault".
func (v *Vault) Bin() string { return filepath.Join(v.dir, "bin") }

func (v *Vault) link() error {
	if err := os.MkdirAll(v.Bin(), 0o700); err != nil {
		return err
	}
	return os.Symlink(v.binary, filepath.Join(v.Bin(), "vault"))
}

// prepare is what an administrator does once: setup.sh, and a token of each policy.
func (v *Vault) prepare(ctx context.Context, deploy string) error {
	script, err := filepath.Abs(filepath.Join(deploy, "setup.sh"))
	if err != nil {
		return err
	}
	argv := v.Net.Command(0, script)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+v.Bin()+":"+os.Getenv("PATH"), "HOME="+v.dir, "MOUNT="+vaultMount, "ISSUER="+vaultRoot, "ROLE="+v.role,
		"VAULT_ADDR="+v.Address, "VAULT_TOKEN="+v.API.Token(), "VAULT_CACERT="+v.CAFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("preparing vault: %w: %s", err, out)
	}
	daily := "daily"
	if v.role != "" {
		daily = "leaves"
	}
	for policy, file := range map[string]string{daily: v.Daily, "rotation": v.Rotation} {
		made, err := v.API.Auth().Token().CreateWithContext(ctx, &api.TokenCreateRequest{
			Policies: []string{vaultMount + "-" + policy}, TTL: "24h", NoDefaultPolicy: true, NoParent: true,
		})
		if err != nil {
			return fmt.Errorf("making vault's token of policy %s: %w", policy, err)
		}
		if err := os.WriteFile(file, []byte(made.Auth.ClientToken+"\n"), 0o600); err != nil {
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

// Start runs it again after it was killed, and unseals it.
func (v *Vault) Start(ctx context.Context) error {
	if err := v.run(ctx); err != nil {
		return err
	}
	return v.Unseal(ctx)
}

// Process is the running or the last Vault.
func (v *Vault) Process() *netns.Process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.process
}

func (v *Vault) run(ctx context.Context) error {
	process, err := v.Net.Start(netns.Spec{Name: "vault", Argv: []string{v.binary, "server", "-config", filepath.Join(v.dir, "vault.hcl")}})
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.process = process
	v.mu.Unlock()
	return v.until(ctx, func(*api.HealthResponse) bool { return true })
}

// Seal seals it: it answers nothing but that it is sealed.
func (v *Vault) Seal(ctx context.Context) error {
	if err := v.API.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("sealing vault: %w", err)
	}
	return nil
}

// Unseal unseals it and returns when it takes requests.
func (v *Vault) Unseal(ctx context.Context) error {
	if _, err := v.API.Sys().UnsealWithContext(ctx, v.unseal); err != nil {
		return fmt.Errorf("unsealing vault: %w", err)
	}
	return v.until(ctx, func(h *api.HealthResponse) bool { return h.Initialized && !h.Sealed && !h.Standby })
}

// until asks for its health until that is as it should be.
func (v *Vault) until(ctx context.Context, ready func(*api.HealthResponse) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	process := v.Process()
	for {
		health, err := v.API.Sys().HealthWithContext(ctx)
		if err == nil && ready(health) {
			return nil
		}
		select {
		case <-process.Done():
			return fmt.Errorf("vault ended with code %d:\n%s", process.ExitCode(), process.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waiting for vault: %w (last: %w):\n%s", ctx.Err(), err, process.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
