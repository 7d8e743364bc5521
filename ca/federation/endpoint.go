package federation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// lookEvery is how often the certificate is looked at when no root changes.
const lookEvery = 10 * time.Second

// Certificates give what the endpoint proves itself with.
type Certificates interface {
	// Certificate is the newest one, with Leaf set. It is asked again and again, by one
	// caller at a time, with the roots that the document is to hold. With an error it
	// may answer the one before.
	Certificate(ctx context.Context, trusted ca.Bundle) (*tls.Certificate, error)
}

// Config is what an Endpoint needs; all fields but Logger are required.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	// Trust is the roots of the mesh, a number that grows with each change of them,
	// and a channel that is closed at the next change.
	Trust        func() (roots ca.Bundle, sequence uint64, changed <-chan struct{})
	Certificates Certificates
	// Logger hears of certificates that could not be replaced. Nil is silence.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// shown is what clients get. Both change at once: who was told roots by one answer
// finds a certificate that leads to them with the next.
type shown struct {
	certificate *tls.Certificate
	roots       ca.Bundle
	sequence    uint64
}

// Endpoint is a SPIFFE bundle endpoint. It is safe for concurrent use.
type Endpoint struct {
	cfg     Config
	handler http.Handler
	shown   atomic.Pointer[shown]
	expiry  prometheus.Gauge
	problem string // of the last look; for run alone
}

// New makes an endpoint that has a certificate, or says why it can have none. It
// registers ensign_bundle_endpoint_certificate_expiry_timestamp_seconds.
func New(ctx context.Context, cfg Config) (*Endpoint, error) {
	if cfg.TrustDomain.IsZero() || cfg.Trust == nil || cfg.Certificates == nil || cfg.Registerer == nil {
		return nil, errors.New("a bundle endpoint needs a trust domain, its roots, a certificate and a registry of metrics")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{cfg: cfg, expiry: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ensign_bundle_endpoint_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that the bundle endpoint shows ends, as a Unix time.",
	})}
	var err error
	if e.handler, err = newHandler(cfg.TrustDomain, e.shown.Load); err != nil {
		return nil, err
	}
	// While nothing can be signed it opens all the same, and shows a certificate when there is one.
	if err := e.look(ctx); err != nil && !errors.Is(err, ca.ErrIssuerExpired) && !errors.Is(err, ca.ErrRemote) {
		return nil, fmt.Errorf("opening the bundle endpoint: %w", err)
	}
	if err := cfg.Registerer.Register(e.expiry); err != nil {
		return nil, fmt.Errorf("registering metrics of the bundle endpoint: %w", err)
	}
	return e, nil
}

// Serve answers on a listener, which it closes, until ctx ends. How many connections
// may be open at once is the listener's to bound.
func (e *Endpoint) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: e.handler, TLSConfig: e.tls(), Protocols: new(http.Protocols),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(e.cfg.Logger.Handler(), slog.LevelDebug),
	}
	server.Protocols.SetHTTP1(true)
	// One question a connection: nobody comes back before the hint is over.
	server.SetKeepAlivesEnabled(false)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	closing := context.AfterFunc(ctx, func() { server.Close() })
	defer closing()
	go e.watch(watching)
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the bundle on %s: %w", listener.Addr(), err)
	}
	return nil
}

func (e *Endpoint) tls() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetCertificate:         e.certificate,
	}
}

func (e *Endpoint) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := e.shown.Load()
	if now == nil {
		return nil, errors.New("the bundle endpoint has no certificate yet")
	}
	return now.certificate, nil
}

// watch keeps the certificate up to date until ctx ends.
func (e *Endpoint) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		_, _, changed := e.cfg.Trust()
		e.say(ctx, e.look(ctx))
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// look takes over what is trusted, and a certificate for it. With an error the
// certificate before stays.
func (e *Endpoint) look(ctx context.Context) error {
	roots, sequence, _ := e.cfg.Trust()
	certificate, err := e.cfg.Certificates.Certificate(ctx, roots)
	if certificate != nil {
		e.shown.Store(&shown{certificate: certificate, roots: roots, sequence: sequence})
		e.expiry.Set(float64(certificate.Leaf.NotAfter.Unix()))
	}
	return err
}

// say logs a problem once, and its end.
func (e *Endpoint) say(ctx context.Context, err error) {
	var problem string
	if err != nil {
		problem = err.Error()
	}
	switch {
	case problem == e.problem || ctx.Err() != nil:
		return
	case problem == "":
		e.cfg.Logger.InfoContext(ctx, "certificate of the bundle endpoint can be replaced again")
	default:
		e.cfg.Logger.ErrorContext(ctx, "certificate of the bundle endpoint not replaced; the one before is shown", "error", err)
	}
	e.problem = problem
}
