package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// NoEnvoy as Config.Envoy starts none: somebody else runs it, on DIR/envoy.yaml.
const NoEnvoy = "none"

// The name that every control plane's certificate holds, as in Istio.
const defaultServerName = "istiod.istio-system.svc"

// maxRunDir is the longest run folder, in bytes.
const maxRunDir = 85

// Config is what an agent is told. Empty fields take the default that is named.
type Config struct {
	// ControlPlane is HOST:PORT.
	ControlPlane string
	// ServerName that its certificate must hold; default: HOST, or
	// istiod.istio-system.svc when HOST is an IP address.
	ServerName string
	// TrustBundle is a PEM file of the roots that the control plane is verified with.
	TrustBundle string
	// TokenFile holds the service account's token.
	TokenFile string
	// TrustDomain of this workload; default cluster.local.
	TrustDomain string
	// Pod is NAMESPACE/NAME.
	Pod string
	// IP is the pod's address.
	IP string
	// Labels of the pod, for Envoy's node metadata.
	Labels map[string]string
	// RunDir gets the sockets and Envoy's bootstrap.
	RunDir string
	// Envoy is a path or a name to look for in PATH, or NoEnvoy; default envoy.
	Envoy string
	// EnvoyArgs are appended to Envoy's command line.
	EnvoyArgs []string
	// TTL is the certificate life to ask for; default 24 h.
	TTL time.Duration
	// Drain is how long Envoy may finish its requests after SIGTERM; 0 is none.
	Drain time.Duration
	// EnvoyAdmin, Metrics and Health are HOST:PORT; defaults 127.0.0.1:15000,
	// :15020 and :15021.
	EnvoyAdmin, Metrics, Health string
	// Logger is required.
	Logger *slog.Logger
}

// ErrConfig: the agent was told something that cannot work.
var ErrConfig = errors.New("configuration")

// settings are a Config that was checked and completed.
type settings struct {
	Config
	trustDomain     spiffeid.TrustDomain
	namespace, name string
	ip              netip.Addr
	admin           netip.AddrPort
	envoy           string // "" for none
}

func (c Config) check() (settings, error) {
	s := settings{Config: c}
	for _, step := range []func() error{s.checkControlPlane, s.checkIdentity, s.checkEnvoy, s.checkTimes} {
		if err := step(); err != nil {
			return settings{}, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return s, nil
}

func (s *settings) checkControlPlane() error {
	host, _, err := net.SplitHostPort(s.ControlPlane)
	if err != nil || host == "" {
		return fmt.Errorf("--control-plane %q is not HOST:PORT", s.ControlPlane)
	}
	if s.ServerName == "" {
		s.ServerName = host
		if _, err := netip.ParseAddr(host); err == nil {
			s.ServerName = defaultServerName
		}
	}
	if s.TrustBundle == "" {
		return errors.New("--trust-bundle is missing: the roots that the control plane is verified with")
	}
	if s.TokenFile == "" {
		return errors.New("--token-file is missing: the proof of who this workload is")
	}
	return nil
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

func (s *settings) checkIdentity() (err error) {
	namespace, name, ok := strings.Cut(s.Pod, "/")
	if !ok || !label.MatchString(namespace) || !label.MatchString(name) || strings.Contains(namespace, ".") {
		return fmt.Errorf("--pod %q is not NAMESPACE/NAME", s.Pod)
	}
	s.namespace, s.name = namespace, name
	if s.ip, err = netip.ParseAddr(s.IP); err != nil {
		return fmt.Errorf("--ip %q is no IP address", s.IP)
	}
	if s.TrustDomain == "" {
		s.TrustDomain = "cluster.local"
	}
	if s.trustDomain, err = spiffeid.TrustDomainFromString(s.TrustDomain); err != nil {
		return fmt.Errorf("--trust-domain %q: %w", s.TrustDomain, err)
	}
	return nil
}

func (s *settings) checkEnvoy() (err error) {
	if s.RunDir == "" {
		return errors.New("--run-dir is missing: where the sockets go")
	}
	if s.RunDir, err = filepath.Abs(s.RunDir); err != nil {
		return fmt.Errorf("--run-dir: %w", err)
	}
	// A Unix socket takes a path of 107 bytes, and is born in a folder of 21 more.
	if len(s.RunDir) > maxRunDir {
		return fmt.Errorf("--run-dir %s is too long for a socket's path: %d bytes at most", s.RunDir, maxRunDir)
	}
	s.EnvoyAdmin = orDefault(s.EnvoyAdmin, "127.0.0.1:15000")
	s.Metrics, s.Health = orDefault(s.Metrics, ":15020"), orDefault(s.Health, ":15021")
	if s.admin, err = netip.ParseAddrPort(s.EnvoyAdmin); err != nil || !s.admin.Addr().IsLoopback() {
		return fmt.Errorf("--envoy-admin %q is not IP:PORT on the loopback", s.EnvoyAdmin)
	}
	if s.Envoy == NoEnvoy {
		return nil
	}
	if s.envoy, err = exec.LookPath(orDefault(s.Envoy, "envoy")); err != nil {
		return fmt.Errorf("--envoy: %w; give its path, or none", err)
	}
	return nil
}

func (s *settings) checkTimes() error {
	if s.TTL == 0 {
		s.TTL = 24 * time.Hour
	}
	if s.TTL < time.Second || s.Drain < 0 {
		return fmt.Errorf("--svid-ttl %s or --drain %s is too short", s.TTL, s.Drain)
	}
	return nil
}

// nodeID is how this Envoy names itself, in Istio's form.
func (s *settings) nodeID() string {
	return fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", s.ip, s.name, s.namespace, s.namespace)
}

func (s *settings) path(name string) string { return filepath.Join(s.RunDir, name) }

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
