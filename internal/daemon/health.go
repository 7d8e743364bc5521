package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/xds"
)

// readiness says why ensignd can not serve; nil when it can.
type readiness struct {
	authority *authority
	xds       *xds.Server
	// shown is what agents are shown; without it they are refused.
	shown interface {
		ServerCertificate() (*tls.Certificate, error)
	}
}

func (r readiness) check(now time.Time) error {
	var errs []error
	if !r.xds.Ready() {
		errs = append(errs, errNotReady)
	}
	if err := (issuability{r.authority}).Healthy(now); err != nil {
		errs = append(errs, fmt.Errorf("nothing can be issued: %w", err))
	}
	if _, err := r.shown.ServerCertificate(); err != nil {
		errs = append(errs, fmt.Errorf("agents are refused: %w", err))
	}
	if err := r.authority.reports.Healthy(); err != nil {
		errs = append(errs, fmt.Errorf("reports can not be stored: %w", err))
	}
	return errors.Join(errs...)
}

// issuability is the CA with all that it needs to issue anything. It implements admin.Issuing.
type issuability struct{ *authority }

// Status implements admin.Issuing.
func (i issuability) Status() ca.IssuerStatus { return i.issuing.Status() }

// Healthy implements admin.Issuing.
func (i issuability) Healthy(now time.Time) error {
	err := i.ledger.Healthy()
	if err != nil {
		err = fmt.Errorf("the ledger can not be written: %w", err)
	}
	return errors.Join(err, i.register.Healthy(), i.issuing.Healthy(now))
}

// newHealthServer serves /metrics, /readyz and /healthz.
func newHealthServer(ready readiness, gatherer prometheus.Gatherer, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready.check(time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	return newHTTPServer(mux, log)
}

// serveLedger serves the ledger to whoever follows it, until ctx ends; without a
// listener to nobody.
func serveLedger(ctx context.Context, l *ledger.Ledger, listener net.Listener, log *slog.Logger) error {
	if listener == nil {
		return nil
	}
	return serveHTTP(ctx, newHTTPServer(ledger.Handler(l), log), listener)
}

func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, server *http.Server, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}
