package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// Stage is one part of an issuance, for metrics. Values are stable.
type Stage string

// The stages, in their order.
const (
	StagePrepare  Stage = "prepare"
	StageLint     Stage = "lint"
	StageSign     Stage = "sign"
	StageValidate Stage = "validate"
	StageLedger   Stage = "ledger"
)

// Config is what a Service needs. All fields but Observe and Logger are required.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Profile     Profile
	Upstream    Upstream
	Ledger      Ledger
	// Observe is told how long each stage of each issuance took.
	Observe func(stage Stage, took time.Duration)
	// Logger hears of issuers. Nil is silence.
	Logger *slog.Logger
}

// Service issues SVIDs. It is safe for concurrent use.
type Service struct {
	cfg    Config
	issuer atomic.Pointer[issuer]
}

// Request asks for one SVID.
type Request struct {
	// Caller decides the SPIFFE ID.
	Caller identity.Caller
	// CSR gives the key, and may name the caller's own ID.
	CSR CSR
	// Lifetime that is asked for; 0 is the profile's. It is clipped, not refused.
	Lifetime time.Duration
	// RemoteAddr is where the request came from, for the ledger.
	RemoteAddr string
}

// Issued is a certificate that the ledger holds.
type Issued struct {
	Leaf *x509.Certificate
	// Issuers lead from the leaf's issuer to the root, which is not among them.
	Issuers []*x509.Certificate
	// Bundle is the roots to trust.
	Bundle Bundle
	// Index of the ledger entry.
	Index uint64
}

// New makes the first issuer, records it, and is ready to issue.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if err := checkTrustDomain(cfg.TrustDomain); err != nil {
		return nil, err
	}
	if cfg.Profile == (Profile{}) || cfg.Upstream == nil || cfg.Ledger == nil {
		return nil, errors.New("a CA needs a profile, an upstream and a ledger")
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Stage, time.Duration) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg}
	if err := s.rotate(ctx); err != nil {
		return nil, fmt.Errorf("making the first issuer: %w", err)
	}
	return s, nil
}

// Bundle is the roots that workloads must trust now.
func (s *Service) Bundle() Bundle { return s.issuer.Load().bundle }

// Healthy says why nothing can be issued now; nil if something can. Errors wrap
// [ErrIssuerExpired].
func (s *Service) Healthy(now time.Time) error { return s.issuer.Load().inForce(now) }

// Issue makes one SVID. Errors wrap [*CSRError] or a sentinel of identity when
// the request is at fault, [ErrIssuerExpired] or [ErrLedger] when a later try
// may succeed, and [ErrMisissuance] when a check here stopped a bad certificate.
func (s *Service) Issue(ctx context.Context, r Request) (Issued, error) {
	id, err := s.admit(r, time.Now())
	if err != nil {
		return Issued{}, err
	}
	who, err := workload(id, r.CSR)
	if err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, who, r.Lifetime, func(i Issued, now time.Time) Entry {
		return svidEntry(i.Leaf, i.Issuers[0], r, now)
	})
}

// issue goes through all stages for a subject that was admitted.
func (s *Service) issue(ctx context.Context, who subject, asked time.Duration, entry func(Issued, time.Time) Entry) (Issued, error) {
	now, iss := time.Now(), s.issuer.Load()
	if err := iss.inForce(now); err != nil {
		return Issued{}, err
	}
	leaf, err := s.make(iss, who, asked, now)
	if err != nil {
		return Issued{}, err
	}
	issued := Issued{Leaf: leaf, Issuers: iss.chain, Bundle: iss.bundle}
	err = s.timed(StageLedger, func() (err error) {
		issued.Index, err = s.append(ctx, entry(issued, now))
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	return issued, nil
}

// admit decides whether this caller may have a certificate for this key, and
// for which ID.
func (s *Service) admit(r Request, now time.Time) (spiffeid.ID, error) {
	account := r.Caller.Account
	if account.TrustDomain != s.cfg.TrustDomain {
		return spiffeid.ID{}, fmt.Errorf("%w: caller is of %q, this is %q", identity.ErrTrustDomain, account.TrustDomain.Name(), s.cfg.TrustDomain.Name())
	}
	if _, err := identity.NewServiceAccount(account.TrustDomain, account.Namespace, account.Name); err != nil {
		return spiffeid.ID{}, err
	}
	if !now.Before(r.Caller.Expires) {
		return spiffeid.ID{}, fmt.Errorf("%w at %s", identity.ErrExpired, r.Caller.Expires.UTC().Format(time.RFC3339))
	}
	if r.Lifetime < 0 {
		return spiffeid.ID{}, fmt.Errorf("%w: %s", ErrLifetime, r.Lifetime)
	}
	if r.CSR.key == nil {
		return spiffeid.ID{}, refuse(ReasonMalformed, "no key")
	}
	id := account.ID()
	if r.CSR.uri != "" && r.CSR.uri != id.String() {
		return spiffeid.ID{}, refuse(ReasonForeignName, "it names %.300q, the caller is %s", r.CSR.uri, id)
	}
	return id, nil
}

// make goes through the stages that need no ledger.
func (s *Service) make(iss *issuer, who subject, asked time.Duration, now time.Time) (leaf *x509.Certificate, err error) {
	var p *prepared
	stages := []struct {
		name Stage
		run  func() error
	}{
		{StagePrepare, func() (err error) { p, err = iss.prepare(who, s.cfg.Profile, asked, now); return err }},
		{StageLint, func() error { return p.lint() }},
		{StageSign, func() (err error) { leaf, err = p.sign(); return err }},
		{StageValidate, func() error { return p.validate(leaf) }},
	}
	for _, stage := range stages {
		if err := s.timed(stage.name, stage.run); err != nil {
			return nil, err
		}
	}
	return leaf, nil
}

func (s *Service) timed(stage Stage, run func() error) error {
	start := time.Now()
	defer func() { s.cfg.Observe(stage, time.Since(start)) }()
	return run()
}

func (s *Service) append(ctx context.Context, e Entry) (uint64, error) {
	index, err := s.cfg.Ledger.Append(ctx, e)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrLedger, err)
	}
	return index, nil
}
