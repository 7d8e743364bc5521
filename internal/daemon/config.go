package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/server"
)

// Flags are ensignd's command line as it was typed.
type Flags struct {
	Manifests   string
	Data        string
	TrustDomain string
	Listen      string
	Metrics     string
	Ledger      string
	ServerNames []string
	Admins      []string
	KEKFile     string
	SVIDLife    time.Duration
	IssueRate   float64
	IssueBurst  int
	IssuePerDay int
	LogLevel    string

	root   rootFlags
	bundle bundleFlags
}

func (f *Flags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.Manifests, "manifests", "", "folder of YAML that describes the mesh; watched")
	flags.StringVar(&f.Data, "data", "", "folder for the root key, the ledger, the bundle and the admin socket")
	flags.StringVar(&f.TrustDomain, "trust-domain", "cluster.local", "trust domain of every SPIFFE ID")
	flags.StringVar(&f.Listen, "listen", "127.0.0.1:15012", "address for agents and admins (TLS)")
	flags.StringVar(&f.Metrics, "metrics", "127.0.0.1:15014", "address for /metrics, /readyz and /healthz")
	flags.StringVar(&f.Ledger, "ledger-listen", "127.0.0.1:15016", "address for who follows the ledger (C2SP tlog-tiles over HTTP); whoever reaches it reads the whole record; empty: none")
	flags.StringArrayVar(&f.ServerNames, "server-name", nil, "another DNS name or IP address of the server certificate; repeatable")
	flags.StringArrayVar(&f.Admins, "admin", nil, "SPIFFE ID that may administer over the network; repeatable")
	flags.StringVar(&f.KEKFile, "kek", "", "file with the key-encryption key, outside the data folder (default $ENSIGN_KEK)")
	flags.DurationVar(&f.SVIDLife, "svid-ttl", 24*time.Hour, "longest life of an SVID; shorter ones are given to who asks")
	flags.Float64Var(&f.IssueRate, "issue-rate", server.DefaultPerSecond, "SVIDs a second that one identity may go on getting; more is refused, and an alert")
	flags.IntVar(&f.IssueBurst, "issue-burst", server.DefaultBurst, "SVIDs that one identity may get at once")
	flags.IntVar(&f.IssuePerDay, "issue-per-day", server.DefaultPerDay, "SVIDs that one identity may get from midnight to midnight UTC")
	f.root.register(flags)
	f.bundle.register(flags)
	flags.StringVar(&f.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// config is the same, checked.
type config struct {
	manifests string
	data      string
	domain    spiffeid.TrustDomain
	listen    string
	metrics   string
	// ledger is where the ledger is served; "" for nowhere.
	ledger string
	// names of the server certificate: DNS names and IP addresses.
	names    []string
	admins   []spiffeid.ID
	kek      keystore.KEK
	profile  ca.Profile
	limits   server.Limits
	root     rootFlags
	bundle   bundleFlags
	logLevel slog.Level
}

// kekVariable holds the key-encryption key when --kek does not.
const kekVariable = "ENSIGN_KEK"

// alwaysNames are in every server certificate: Istio's agents know the first.
var alwaysNames = []string{"istiod.istio-system.svc", "localhost"}

// validate turns flags into a config; each error says which flag and what to write.
func (f Flags) validate() (config, error) {
	c := config{listen: f.Listen, metrics: f.Metrics, ledger: f.Ledger, bundle: f.bundle, names: append(append([]string{}, alwaysNames...), f.ServerNames...)}
	var err error
	if c.domain, err = spiffeid.TrustDomainFromString(f.TrustDomain); err != nil {
		return config{}, fmt.Errorf("--trust-domain %q: %w", f.TrustDomain, err)
	}
	if err := f.checkAddresses(); err != nil {
		return config{}, err
	}
	if c.limits, err = f.limits(); err != nil {
		return config{}, err
	}
	if err := errors.Join(f.root.validate(), f.bundle.validate()); err != nil {
		return config{}, err
	}
	c.root = f.root
	for _, text := range f.Admins {
		id, err := spiffeid.FromString(text)
		if err != nil {
			return config{}, fmt.Errorf("--admin %q: want spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT: %w", text, err)
		}
		if id.TrustDomain() != c.domain {
			return config{}, fmt.Errorf("--admin %s: not in the trust domain %s", id, c.domain)
		}
		c.admins = append(c.admins, id)
	}
	if c.manifests, err = folder("--manifests", f.Manifests); err != nil {
		return config{}, err
	}
	if f.Data == "" {
		return config{}, fmt.Errorf("--data is missing: give a folder for the root key, the ledger and the admin socket")
	}
	if c.data, err = filepath.Abs(f.Data); err != nil {
		return config{}, fmt.Errorf("--data %q: %w", f.Data, err)
	}
	if err := c.logLevel.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return config{}, fmt.Errorf("--log-level %q: want debug, info, warn or error", f.LogLevel)
	}
	if c.profile, err = ca.NewProfile(ca.ProfileConfig{Lifetime: f.SVIDLife, MaxLifetime: f.SVIDLife, Short: true}); err != nil {
		return config{}, fmt.Errorf("--svid-ttl: %w", err)
	}
	if c.kek, err = f.loadKEK(c.data); err != nil {
		return config{}, err
	}
	return c, nil
}

func (f Flags) checkAddresses() error {
	addresses := []struct{ flag, value string }{{"--listen", f.Listen}, {"--metrics", f.Metrics}}
	if f.Ledger != "" {
		addresses = append(addresses, struct{ flag, value string }{"--ledger-listen", f.Ledger})
	}
	for _, address := range addresses {
		if _, _, err := net.SplitHostPort(address.value); err != nil {
			return fmt.Errorf("%s %q: want HOST:PORT: %w", address.flag, address.value, err)
		}
	}
	return nil
}

// limits are those of each identity. None can be switched off: a limit that is
// never reached is a large one.
func (f Flags) limits() (server.Limits, error) {
	if !(f.IssueRate > 0) || f.IssueBurst <= 0 || f.IssuePerDay <= 0 {
		return server.Limits{}, fmt.Errorf("--issue-rate %g, --issue-burst %d, --issue-per-day %d: each must be more than 0; write a large number for no limit",
			f.IssueRate, f.IssueBurst, f.IssuePerDay)
	}
	return server.Limits{PerSecond: f.IssueRate, Burst: f.IssueBurst, PerDay: f.IssuePerDay}, nil
}

// loadKEK prefers the file. The variable is taken out of the environment at
// once, so that no process started later inherits it.
func (f Flags) loadKEK(data string) (keystore.KEK, error) {
	text := os.Getenv(kekVariable)
	if err := os.Unsetenv(kekVariable); err != nil {
		return keystore.KEK{}, fmt.Errorf("clearing %s: %w", kekVariable, err)
	}
	if f.KEKFile == "" {
		kek, err := keystore.ParseKEK(text)
		if err != nil {
			return keystore.KEK{}, fmt.Errorf("%s: %w", kekVariable, err)
		}
		return kek, nil
	}
	kek, err := keystore.LoadKEK(f.KEKFile, data)
	if err != nil {
		return keystore.KEK{}, fmt.Errorf("--kek: %w", err)
	}
	return kek, nil
}

func folder(flag, path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("%s is missing: give a folder of YAML", flag)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s %s is not a folder", flag, path)
	}
	return filepath.Abs(path)
}
