package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultTimeout bounds each call.
const DefaultTimeout = 10 * time.Second

// idleConnections is how many are kept for the next leaves.
const idleConnections = 16

// Config says where Vault is and who asks. Address, Mount, Auth, TrustDomain and
// Ledger are required.
type Config struct {
	// Address is Vault's URL: https, or http to this machine only.
	Address string
	// CAFile holds the PEM roots that Vault's own certificate is verified against.
	// Empty: those of the system.
	CAFile string
	// Namespace of Vault Enterprise and HCP. Empty: the root namespace.
	Namespace string
	// Mount is the path of the PKI engine, "ensign" for example.
	Mount string
	// Issuer is the name of the mount's issuer that a mesh begins with which begins in
	// Vault. Empty: it begins elsewhere, and Vault gets roots by rotation only.
	Issuer string
	// Role is the name of the mount's role by which issuers sign each SVID, and with
	// "-server" behind it each certificate of the control plane's own: Vault then
	// certifies no issuers. Empty: it does, and signs no leaves.
	Role string
	// Auth gets tokens that sign issuers (policy daily) or
	// leaves (policy leaves), RotationAuth those that make
	// roots and sign links between them (policy rotation). Nil: no rotation to Vault.
	Auth, RotationAuth Auth
	TrustDomain        spiffeid.TrustDomain
	// Ledger gets the mesh's first root.
	Ledger Ledger
	// Timeout of each call, login included; default [DefaultTimeout].
	Timeout time.Duration

	// Metrics is where counters are registered. Nil: nowhere.
	Metrics prometheus.Registerer
	// Logger hears of logins and of tokens that could not be renewed. Nil is silence.
	Logger *slog.Logger
}

var (
	mountForm  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)
	issuerForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

// Check says what is wrong with the fields that people write: all but TrustDomain and
// Ledger. It reads CAFile, and asks nobody.
func (c Config) Check() error {
	cfg, err := c.validated()
	if err == nil {
		_, err = cfg.transport()
	}
	return err
}

func (c Config) validated() (Config, error) {
	at, err := url.Parse(c.Address)
	switch {
	case err != nil || at.Host == "" || (at.Scheme != "https" && at.Scheme != "http"):
		return Config{}, fmt.Errorf("vault address %q is not a URL like https://vault.example:8200", c.Address)
	case at.Scheme == "http" && !loopback(at.Hostname()):
		return Config{}, fmt.Errorf("vault address %q is not https: the token would cross the network in the clear", c.Address)
	case !ValidMount(c.Mount):
		return Config{}, fmt.Errorf("vault mount %q is not the path of a PKI engine, without slashes around it", c.Mount)
	case c.Issuer != "" && !issuerForm.MatchString(c.Issuer):
		return Config{}, fmt.Errorf("vault issuer %q is not the name of an issuer", c.Issuer)
	case c.Issuer == "default":
		return Config{}, errors.New(`vault issuer "default" is whichever the mount's default is today: give the issuer's own name`)
	case c.Role != "" && !issuerForm.MatchString(c.Role):
		return Config{}, fmt.Errorf("vault role %q is not the name of a role", c.Role)
	case c.Auth == nil:
		return Config{}, errors.New("vault needs a way to log in")
	case c.Timeout < 0:
		return Config{}, fmt.Errorf("vault timeout %s is negative", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// transport makes a connection for each request, as they are days apart, unless Vault
// signs each leaf.
func (c Config) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      c.Role == "",
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if c.CAFile == "" {
		return t, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the roots of vault's own certificate: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate to verify vault against", c.CAFile)
	}
	return t, nil
}

// ValidMount says whether a text is the path of an engine or a login method.
func ValidMount(path string) bool { return mountForm.MatchString(path) }
