package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/federation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/internal/edge"
)

// The profiles of a SPIFFE bundle endpoint.
const (
	profileWeb    = "https_web"
	profileSPIFFE = "https_spiffe"
)

// bundleLimits are far above what other trust domains need, which come once a minute,
// and far below what would take file descriptors from 15012.
var bundleLimits = edge.Limits{Total: 256, PerAddress: 32}

// bundleFlags say where other trust domains get the roots of this one, and how they
// know whom they ask. Without listen: nowhere.
type bundleFlags struct{ listen, profile, cert, key string }

func (f *bundleFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "bundle-listen", "", "address of the SPIFFE bundle endpoint, where other trust domains get the roots of this one; empty: none")
	flags.StringVar(&f.profile, "bundle-profile", profileSPIFFE, "how the bundle endpoint proves itself: "+profileSPIFFE+" (an SVID of this mesh) or "+profileWeb+" (--bundle-cert and --bundle-key)")
	flags.StringVar(&f.cert, "bundle-cert", "", "PEM file with the certificate chain of --bundle-profile "+profileWeb+"; read again when it changes")
	flags.StringVar(&f.key, "bundle-key", "", "PEM file with its key, not readable by everybody; read again when it changes")
}

func (f bundleFlags) validate() error {
	files := f.cert != "" || f.key != ""
	if f.listen == "" {
		if files {
			return errors.New("--bundle-cert and --bundle-key are of use only with --bundle-listen")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return fmt.Errorf("--bundle-listen %q: want HOST:PORT: %w", f.listen, err)
	}
	switch f.profile {
	case profileWeb:
		if f.cert == "" || f.key == "" {
			return fmt.Errorf("--bundle-profile %s needs --bundle-cert and --bundle-key", profileWeb)
		}
	case profileSPIFFE:
		if files {
			return fmt.Errorf("--bundle-cert and --bundle-key are of --bundle-profile %s; with %s ensignd makes its own", profileWeb, profileSPIFFE)
		}
	default:
		return fmt.Errorf("--bundle-profile %q: want %s or %s", f.profile, profileSPIFFE, profileWeb)
	}
	return nil
}

// bundleMargin is for who comes back late, or has to ask twice.
const bundleMargin = 30 * time.Second

// visible is how long a change of the roots must be shown so that no client misses it;
// 0 if there is no endpoint.
func (f bundleFlags) visible() time.Duration {
	if f.listen == "" {
		return 0
	}
	return federation.RefreshHint + bundleMargin
}

// truster says what everybody is to trust; rotation.Manager does.
type truster interface {
	Trust() (*rotation.Trust, <-chan struct{})
}

// bundleEndpoint is the endpoint with its listener; nil if it is not served.
type bundleEndpoint struct {
	endpoint *federation.Endpoint
	listener net.Listener
}

// openBundle listens. It needs a CA that issues and a Manager that knows the roots.
func openBundle(ctx context.Context, f bundleFlags, td spiffeid.TrustDomain, roots truster, issuing federation.Issuer, log *slog.Logger, reg prometheus.Registerer) (*bundleEndpoint, error) {
	if f.listen == "" {
		return nil, nil
	}
	var certificates federation.Certificates = federation.NewSelf(issuing)
	if f.profile == profileWeb {
		certificates = federation.NewFiles(f.cert, f.key)
	}
	endpoint, err := federation.New(ctx, federation.Config{
		TrustDomain: td, Certificates: certificates, Logger: log, Registerer: reg,
		Trust: func() (ca.Bundle, uint64, <-chan struct{}) {
			now, changed := roots.Trust()
			return now.Bundle, now.Sequence, changed
		},
	})
	if err != nil {
		return nil, err
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("listening on --bundle-listen %s: %w", f.listen, err)
	}
	// Their names are those of the agents' port, so these are not shown.
	listener = edge.NewListener(listener, bundleLimits, prometheus.NewRegistry())
	return &bundleEndpoint{endpoint: endpoint, listener: listener}, nil
}

// run serves until ctx ends.
func (b *bundleEndpoint) run(ctx context.Context) error {
	if b == nil {
		return nil
	}
	return b.endpoint.Serve(ctx, b.listener)
}
