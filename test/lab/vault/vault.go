package vault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// patience is how long a Vault may take to start, on a machine with much to do.
const patience = 60 * time.Second

// Process is a program that runs.
type Process interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Kill ends it as kill -9 does, and returns when it has ended.
	Kill() error
	// Tail is the end of what it wrote, for an error message.
	Tail() string
}

// Config says which Vault there is to be, and where.
type Config struct {
	// Binary is Vault's program.
	Binary string
	// Dir is the folder for all that it keeps; it need not exist.
	Dir string
	// IP and the ports are those that it listens at.
	IP                netip.Addr
	Port, ClusterPort int
	// Dial reaches it; nil: from where this process is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Start runs a program where Vault is to be.
	Start func(argv ...string) (Process, error)
}

// Vault is one Vault.
type Vault struct {
	// Address is its URL, https; CAFile the PEM certificate to verify it against.
	Address, CAFile string
	// API asks it, after Begin as root.
	API *api.Client

	cfg     Config
	unseal  string
	process Process
}

// New makes its certificate, its configuration and a client; nothing runs yet.
func New(cfg Config) (*Vault, error) {
	v := &Vault{
		cfg: cfg, CAFile: filepath.Join(cfg.Dir, "tls.pem"),
		Address: "https://" + net.JoinHostPort(cfg.IP.String(), strconv.Itoa(cfg.Port)),
	}
	for _, dir := range []string{cfg.Dir, v.storage(), v.Plugins(), v.Bin()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := writeCertificate(cfg.Dir, cfg.IP); err != nil {
		return nil, fmt.Errorf("making vault's certificate: %w", err)
	}
	if err := errors.Join(v.configure(), os.Symlink(cfg.Binary, filepath.Join(v.Bin(), "vault"))); err != nil {
		return nil, fmt.Errorf("configuring vault: %w", err)
	}
	return v, v.connect()
}

func (v *Vault) configure() error {
	text := fmt.Sprintf(`disable_mlock = true
plugin_directory = %q
api_addr = %q
cluster_addr = "https://%s:%d"
storage "raft" {
  path = %q
  node_id = "one"
  performance_multiplier = 1
}
listener "tcp" {
  address = "%s:%d"
  tls_cert_file = %q
  tls_key_file = %q
}
`, v.Plugins(), v.Address, v.cfg.IP, v.cfg.ClusterPort, v.storage(),
		v.cfg.IP, v.cfg.Port, v.CAFile, filepath.Join(v.cfg.Dir, "tls.key"))
	return os.WriteFile(v.config(), []byte(text), 0o600)
}

func (v *Vault) connect() error {
	settings := api.DefaultConfig()
	settings.Address = v.Address
	if err := settings.ConfigureTLS(&api.TLSConfig{CACert: v.CAFile}); err != nil {
		return fmt.Errorf("reading vault's certificate: %w", err)
	}
	transport, ok := settings.HttpClient.Transport.(*http.Transport)
	if !ok {
		return errors.New("vault's client has another transport than HTTP's")
	}
	transport.Proxy = nil
	if v.cfg.Dial != nil {
		transport.DialContext = v.cfg.Dial
	}
	var err error
	if v.API, err = api.NewClient(settings); err != nil {
		return fmt.Errorf("making vault's client: %w", err)
	}
	v.API.SetMaxRetries(0)
	return nil
}

// Bin is a folder with the command "vault".
func (v *Vault) Bin() string { return filepath.Join(v.cfg.Dir, "bin") }

// Plugins is the folder that Vault takes plugins from.
func (v *Vault) Plugins() string { return filepath.Join(v.cfg.Dir, "plugins") }

func (v *Vault) storage() string { return filepath.Join(v.cfg.Dir, "storage") }
func (v *Vault) config() string  { return filepath.Join(v.cfg.Dir, "vault.hcl") }
