package sds

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// One attempt to get a certificate may take this long.
	attemptTimeout = 20 * time.Second
	// How many earlier leaves FingerprintOf remembers.
	rememberedLeaves = 32
)

// Signer has the control plane sign a certificate request.
type Signer interface {
	// Sign takes a request in PEM and the life to ask for, and returns the leaf,
	// its issuers, and all roots in the last element, in PEM.
	Sign(ctx context.Context, request []byte, ttl time.Duration) ([]string, error)
}

// SourceConfig is what a Source needs; every field but Namespace is required.
type SourceConfig struct {
	Signer      Signer
	TrustDomain spiffeid.TrustDomain
	// Namespace that the ID must be of; "" accepts any.
	Namespace string
	// Anchors are the roots of the bundle file, read again for each answer.
	Anchors func() ([]*x509.Certificate, error)
	// TTL is the life to ask for; the control plane may give less.
	TTL     time.Duration
	Metrics *Metrics
	Logger  *slog.Logger
}

// Source holds the SVID in use and renews it. Run is its only writer.
type Source struct {
	config SourceConfig
	// refused holds at most one call of Refused for the current SVID.
	refused chan struct{}

	mu      sync.Mutex // guards all below
	current *SVID
	changed chan struct{} // closed when current is replaced
	leaves  []leaf        // newest last
}

type leaf struct{ serial, fingerprint string }

// NewSource makes a Source that holds nothing until Run gets the first SVID.
func NewSource(config SourceConfig) *Source {
	return &Source{config: config, refused: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Run gets an SVID and renews it at half of its life, give or take a tenth, one
// attempt at a time, until ctx ends. A failed attempt is repeated after a growing,
// random pause of at most 30 s; the SVID in use stays meanwhile. The error is ctx's.
func (s *Source) Run(ctx context.Context) error {
	failures, refusals := 0, 0
	for ctx.Err() == nil {
		svid, err := s.renew(ctx)
		s.config.Metrics.attempt(err)
		if err != nil {
			failures++
			due := time.Now().Add(retryAfter(failures, rand.Float64()))
			s.logFailure(ctx, err, failures, due)
			if _, err := sleepUntil(ctx, due, nil); err != nil {
				return err
			}
			continue
		}
		failures = 0
		refused, err := s.rest(ctx, svid, refusals)
		if err != nil {
			return err
		}
		// One that was good for a while does not count with those before it.
		if refusals++; !refused || time.Since(svid.Received) > 2*refusedCap {
			refusals = 0
		}
	}
	return ctx.Err()
}

// rest waits until the SVID is to be renewed: at half of its life, or, refused, once
// Refused was called, which is heard after a pause that grows with the refusals so far.
func (s *Source) rest(ctx context.Context, svid *SVID, refusals int) (refused bool, err error) {
	due := svid.Received.Add(renewAfter(svid.Received, svid.Expires(), rand.Float64()))
	s.config.Logger.InfoContext(ctx, "svid obtained", "svid", svid, "renew_at", due)
	deaf := svid.Received.Add(refusedAfter(refusals, rand.Float64()))
	if due.Before(deaf) {
		deaf = due
	}
	if _, err := sleepUntil(ctx, deaf, nil); err != nil {
		return false, err
	}
	refused, err = sleepUntil(ctx, due, s.refused)
	if refused {
		s.config.Logger.WarnContext(ctx, "svid is refused by the control plane, renewing it now", "svid", svid)
	}
	return refused, err
}

// Refused says that the control plane did not take this SVID as a proof. If it is
// the one in use, Run renews it soon instead of at half of its life. It never waits.
func (s *Source) Refused(svid *SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svid == nil || svid != s.current {
		return
	}
	select {
	case s.refused <- struct{}{}:
	default:
	}
}

func (s *Source) logFailure(ctx context.Context, err error, failures int, due time.Time) {
	if ctx.Err() != nil {
		return
	}
	left := "none"
	if svid, _ := s.Watch(); svid != nil {
		left = time.Until(svid.Expires()).Round(time.Second).String()
	}
	s.config.Logger.WarnContext(ctx, "svid not obtained", "error", err, "failures", failures, "retry_at", due, "svid_life_left", left)
}

// renew makes one attempt, with a key of its own.
func (s *Source) renew(ctx context.Context) (*SVID, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	key, request, err := newRequest()
	if err != nil {
		return nil, err
	}
	answer, err := s.config.Signer.Sign(ctx, request, s.config.TTL)
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate: %w", err)
	}
	trusted, err := s.config.Anchors()
	if err != nil {
		return nil, fmt.Errorf("reading trusted roots: %w", err)
	}
	want := expectation{key: key, trustDomain: s.config.TrustDomain, namespace: s.config.Namespace, trusted: trusted, now: time.Now()}
	if old, _ := s.Watch(); old != nil {
		want.id, want.trusted = old.ID, append(want.trusted[:len(want.trusted):len(want.trusted)], old.Roots...)
	}
	svid, err := want.accept(answer)
	if err != nil {
		return nil, err
	}
	s.replace(svid)
	return svid, nil
}

func (s *Source) replace(svid *SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = svid
	select {
	case <-s.refused: // meant the one before
	default:
	}
	s.leaves = append(s.leaves, leaf{svid.Serial(), svid.Fingerprint()})
	s.leaves = s.leaves[max(0, len(s.leaves)-rememberedLeaves):]
	close(s.changed)
	s.changed = make(chan struct{})
	s.config.Metrics.holds(svid)
}

// Watch returns the last SVID, live or not, nil before the first, and a channel
// that is closed when another takes its place.
func (s *Source) Watch() (*SVID, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}

// Live is the SVID in use; ErrNone if there is none or it has expired.
func (s *Source) Live() (*SVID, error) {
	svid, _ := s.Watch()
	if svid == nil {
		return nil, fmt.Errorf("%w yet", ErrNone)
	}
	if !svid.Live(time.Now()) {
		return nil, fmt.Errorf("%w: the last one expired at %s", ErrNone, svid.Expires().UTC().Format(time.RFC3339))
	}
	return svid, nil
}

// FingerprintOf is the fingerprint of one of the last 32 SVIDs by its serial
// (lower-case hex without leading zeros); "" if it was none of them.
func (s *Source) FingerprintOf(serial string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leaves {
		if l.serial == serial {
			return l.fingerprint
		}
	}
	return ""
}
