package server

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"math"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

// DefaultLimit is how many calls may be at work at once when none is given.
// Most of a call is waiting for the ledger's commit, which many share.
const DefaultLimit = 256

// Issuer makes certificates; [*ca.Service] is one.
type Issuer interface {
	Issue(ctx context.Context, r ca.Request) (ca.Issued, error)
}

// Config is what the edge needs.
type Config struct {
	Issuer  Issuer
	Metrics *Metrics
	// Limit is how many calls may be at work at once; 0 is DefaultLimit.
	Limit int
	// Limits are those of each identity.
	Limits Limits
	// Issued is what counted before this process began. Nil: nothing did.
	Issued IssuedSince
	// Awaited tells renewals that a rotation asks for. Nil: none does.
	Awaited Awaited
	// Logger gets one line for each call. Nil is silence.
	Logger *slog.Logger
	// Tracing makes the spans. Nil makes none.
	Tracing trace.TracerProvider
}

// Server serves istio.v1.auth.IstioCertificateService.
type Server struct {
	istioca.UnimplementedIstioCertificateServiceServer
	cfg    Config
	shares *shares
	slots  chan struct{}
	tracer trace.Tracer
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Issuer == nil || cfg.Metrics == nil {
		return nil, errors.New("serving certificates needs an issuer and metrics")
	}
	if cfg.Limit < 0 {
		return nil, errors.New("limit of calls at work is negative")
	}
	var err error
	if cfg.Limits, err = cfg.Limits.validated(); err != nil {
		return nil, err
	}
	if cfg.Issued == nil {
		cfg.Issued = func(context.Context, string, time.Time) (int, error) { return 0, nil }
	}
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Tracing == nil {
		cfg.Tracing = noop.NewTracerProvider()
	}
	return &Server{
		cfg:    cfg,
		shares: newShares(cfg.Limits, cfg.Issued, cfg.Awaited),
		slots:  make(chan struct{}, cfg.Limit),
		tracer: cfg.Tracing.Tracer("github.com/ensign-mesh/ensign/ca/server"),
	}, nil
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	istioca.RegisterIstioCertificateServiceServer(r, s)
}

// CreateCertificate implements the RPC. The certificate is for the caller of
// the context, whatever the request says; errors carry the codes of [Code].
func (s *Server) CreateCertificate(ctx context.Context, req *istioca.IstioCertificateRequest) (*istioca.IstioCertificateResponse, error) {
	ctx, span := s.tracer.Start(ctx, "ca.CreateCertificate", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	start := time.Now()
	caller, _ := identity.CallerFrom(ctx)
	issued, err := s.create(ctx, caller, req)
	s.alert(ctx, caller, err)
	s.conclude(ctx, span, caller, issued, err, time.Since(start))
	if err != nil {
		return nil, Status(err)
	}
	return &istioca.IstioCertificateResponse{CertChain: certChain(issued)}, nil
}

func (s *Server) create(ctx context.Context, caller identity.Caller, req *istioca.IstioCertificateRequest) (issued ca.Issued, err error) {
	if caller.Account.IsZero() {
		return ca.Issued{}, errNoCaller
	}
	leave, err := s.shares.enter(ctx, caller)
	if err != nil {
		return ca.Issued{}, err
	}
	defer func() { leave(err == nil) }()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return ca.Issued{}, errBusy
	}
	if impersonates(req) {
		return ca.Issued{}, errImpersonation
	}
	csr, err := s.parse(req.GetCsr())
	if err != nil {
		return ca.Issued{}, err
	}
	return s.cfg.Issuer.Issue(ctx, ca.Request{
		Caller:     caller,
		CSR:        csr,
		Lifetime:   seconds(req.GetValidityDuration()),
		RemoteAddr: remoteAddr(ctx),
	})
}

func (s *Server) parse(text string) (ca.CSR, error) {
	start := time.Now()
	defer func() { s.cfg.Metrics.ObserveStage(stageParse, time.Since(start)) }()
	return ca.ParseCSR([]byte(text))
}

// impersonates says whether the metadata asks for a certificate of somebody
// else, as Istio's node agents may. Answering with one's own would mislead.
func impersonates(req *istioca.IstioCertificateRequest) bool {
	_, asked := req.GetMetadata().GetFields()["ImpersonatedIdentity"]
	return asked
}

// seconds is a duration that does not overflow.
func seconds(n int64) time.Duration {
	const most = int64(math.MaxInt64 / time.Second)
	return time.Duration(min(max(n, -1), most)) * time.Second
}

func remoteAddr(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return p.Addr.String()
}

// certChain is leaf, issuers, and all roots in the last element.
func certChain(issued ca.Issued) []string {
	chain := make([]string, 0, len(issued.Issuers)+2)
	chain = append(chain, certificatePEM(issued.Leaf.Raw))
	for _, c := range issued.Issuers {
		chain = append(chain, certificatePEM(c.Raw))
	}
	return append(chain, issued.Bundle.PEM())
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
