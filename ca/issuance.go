package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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

// Service issues SVIDs. It is safe for concurrent use.
type Service struct {
	cfg  Config
	keys *keyring
	// newest is in the ledger and signs for the control plane itself.
	newest atomic.Pointer[issuer]
	// current signs SVIDs: newest once it was introduced, the one before until
	// then, nil if there was none.
	current atomic.Pointer[issuer]
	// inHand is held for reading while an SVID is made: with it for writing, none is
	// on its way to the ledger.
	inHand sync.RWMutex
	// roots were the upstream's bundle when it was last asked.
	roots atomic.Pointer[Bundle]

	// asking is the context of questions that come without one.
	asking context.Context

	// turn is held by who replaces the issuer.
	turn chan struct{}
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
	// Bundle is the roots to trust; the leaf leads to one of them.
	Bundle Bundle
	// Index of the ledger entry.
	Index uint64
}

// New goes on with the issuer of the last start, or makes one and records it. If
// that one must be introduced, [Service.Run] does so, and until then nothing but
// [Service.IssueServer] works. That the upstream certifies none now is no error: Run
// and [Service.Settle] ask again, and until then nothing works.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, turn: make(chan struct{}, 1), asking: context.WithoutCancel(ctx)}
	if err := s.restore(ctx); err != nil {
		return nil, fmt.Errorf("going on with the kept issuers: %w", err)
	}
	if s.current.Load() != nil {
		return s, nil
	}
	if err := s.begin(ctx); errors.Is(err, errUncertified) {
		cfg.Logger.ErrorContext(ctx, "no issuer: nothing can be issued until the root certifies one", slog.Any("error", err))
		return s, nil
	} else if err != nil {
		return nil, fmt.Errorf("making the first issuer: %w", err)
	}
	if cfg.Introduce != nil {
		return s, nil
	}
	if err := s.introduce(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Bundle is the roots that workloads must trust now: the upstream's, or, while that
// can't say, what it said last.
func (s *Service) Bundle() Bundle {
	bundle, err := s.trusted(s.asking)
	if err != nil {
		return *s.roots.Load()
	}
	return bundle
}

// trusted asks the upstream for the roots.
func (s *Service) trusted(ctx context.Context) (Bundle, error) {
	bundle, err := s.cfg.Upstream.Bundle(ctx)
	if err != nil {
		return Bundle{}, fmt.Errorf("reading the roots: %w", err)
	}
	s.roots.Store(&bundle)
	return bundle, nil
}

// Healthy says why no SVID can be issued now; nil if one can, as far as is known. Errors
// wrap [ErrIssuerExpired], or [ErrRemote].
func (s *Service) Healthy(now time.Time) error {
	iss := s.current.Load()
	if err := s.mayIssue(iss, s.Bundle(), now); err != nil || iss.remote == nil {
		return err
	}
	if err := iss.remote.Healthy(); err != nil {
		return fmt.Errorf("%w: %w", ErrRemote, err)
	}
	return nil
}

// Issue makes one SVID. Errors wrap [*CSRError] or a sentinel of identity when
// the request is at fault, [ErrIssuerExpired], [ErrRemote] or [ErrLedger] when a later try
// may succeed, and [ErrMisissuance] when a check here stopped a bad certificate.
func (s *Service) Issue(ctx context.Context, r Request) (Issued, error) {
	id, err := s.entitled(r, time.Now())
	if err != nil {
		return Issued{}, err
	}
	who, err := workload(id, r.CSR)
	if err != nil {
		return Issued{}, err
	}
	done, err := s.cfg.Admit(ctx, r.Caller)
	if err != nil {
		return Issued{}, err
	}
	defer done()
	if s.cfg.RevokedKey(hexSum(who.spki)) {
		return Issued{}, fmt.Errorf("%w: the key of this request was that of a certificate which is revoked: make a new one", identity.ErrRevoked)
	}
	s.inHand.RLock()
	defer s.inHand.RUnlock()
	return s.issue(ctx, s.current.Load(), who, r.Lifetime, func(i Issued, now time.Time) Entry {
		return svidEntry(i.Leaf, i.Issuers[0], r, now)
	})
}

// mayIssue is nil if this issuer, which may be missing, may sign leaves.
func (s *Service) mayIssue(iss *issuer, trusted Bundle, now time.Time) error {
	switch {
	case iss == nil:
		return fmt.Errorf("%w: the first one is being made, or introduced to the proxies", ErrIssuerExpired)
	case s.cfg.Revoked(iss.serial):
		return fmt.Errorf("%w: %s is revoked, another one is being made", ErrIssuerExpired, iss.serial)
	case !trusted.Holds(iss.root):
		return fmt.Errorf("%w: %s leads to root %q, which is not trusted any more: another one is being made", ErrIssuerExpired, iss.serial, iss.root.Subject)
	}
	return iss.inForce(now)
}

// issue goes through all stages for a subject that was decided on.
func (s *Service) issue(ctx context.Context, iss *issuer, who subject, asked time.Duration, entry func(Issued, time.Time) Entry) (Issued, error) {
	now := time.Now()
	trusted, err := s.trusted(ctx)
	if err != nil {
		return Issued{}, err
	}
	if err := s.mayIssue(iss, trusted, now); err != nil {
		return Issued{}, err
	}
	leaf, err := s.make(ctx, iss, who, asked, now)
	if err != nil {
		return Issued{}, err
	}
	issued := Issued{Leaf: leaf, Issuers: iss.chain}
	err = s.timed(StageLedger, func() (err error) {
		issued.Index, err = s.append(ctx, entry(issued, now))
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	// Asked again: a rotation that looked before at who is in the ledger has passed on
	// without this one, which so gets the roots of the next step.
	if issued.Bundle, err = s.trusted(ctx); err != nil {
		return Issued{}, err
	}
	return issued, s.mayIssue(iss, issued.Bundle, now)
}

// entitled decides whether this caller's proof is good for a certificate for this
// key, and for which ID.
func (s *Service) entitled(r Request, now time.Time) (spiffeid.ID, error) {
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
func (s *Service) make(ctx context.Context, iss *issuer, who subject, asked time.Duration, now time.Time) (leaf *x509.Certificate, err error) {
	var p *prepared
	stages := []struct {
		name Stage
		run  func() error
	}{
		{StagePrepare, func() (err error) { p, err = iss.prepare(who, s.cfg.Profile, asked, now); return err }},
		{StageLint, func() error { return p.lint() }},
		{StageSign, func() (err error) { leaf, err = p.sign(ctx); return err }},
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
