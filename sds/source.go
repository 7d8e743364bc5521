package sds

import (
	"context"
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
	// Roots is what is believed. The Source is the only one that may replace them.
	Roots *Roots
	// TTL is the life to ask for; the control plane may give less.
	TTL     time.Duration
	Metrics *Metrics
	Logger  *slog.Logger
}

// Source holds the SVID in use and renews it. Run is its only writer.
type Source struct {
	config SourceConfig
	roots  *Roots
	// sooner holds at most one word that something may make a renewal due sooner.
	sooner chan struct{}
	// telling is held while problems are worked out.
	telling sync.Mutex

	mu      sync.Mutex // guards all below
	current *SVID
	changed chan struct{} // closed when current is replaced
	leaves  []leaf        // newest last
	// refused and asked: Refused was called for the current SVID, Renew since attempted,
	// when the last attempt began.
	refused, asked bool
	attempted      time.Time
	wish           wish
	// failure and refusal are why the last attempt failed, and why the last Trust was
	// not followed; problems is both, troubled is closed when that is replaced.
	failure, refusal string
	problems         Problems
	troubled         chan struct{}
}

type leaf struct{ serial, fingerprint string }

// NewSource makes a Source that holds nothing until Run gets the first SVID.
func NewSource(config SourceConfig) *Source {
	return &Source{
		config: config, roots: config.Roots, sooner: make(chan struct{}, 1),
		changed: make(chan struct{}), troubled: make(chan struct{}),
	}
}

// Run gets an SVID and renews it at half of its life, give or take a tenth, or sooner
// for the reasons that [Source.Refused], [Source.Follow] and [Source.Renew] give, one
// attempt at a time, until ctx ends. A failed attempt is repeated after a growing,
// random pause of at most 30 s; the SVID in use stays meanwhile. The error is ctx's.
func (s *Source) Run(ctx context.Context) error {
	failures, hurries, reason := 0, 0, ""
	for ctx.Err() == nil {
		svid, err := s.renew(ctx)
		s.config.Metrics.attempt(err)
		s.failed(err)
		if err != nil {
			failures++
			due := time.Now().Add(retryAfter(failures, rand.Float64()))
			s.logFailure(ctx, err, failures, due)
			if err := s.await(ctx, func() time.Time { return earlier(due, s.askedDue()) }); err != nil {
				return err
			}
			continue
		}
		failures = 0
		if s.mended(reason, svid) {
			hurries = 0
		}
		if reason, err = s.rest(ctx, svid, hurries); err != nil {
			return err
		}
		// One that was good for a while does not count with those before it.
		if hurries++; reason == "" || reason == reasonAsked || time.Since(svid.Received) > 2*refusedCap {
			hurries = 0
		}
	}
	return ctx.Err()
}

// renew makes one attempt, with a key of its own.
func (s *Source) renew(ctx context.Context) (*SVID, error) {
	s.mu.Lock()
	s.asked, s.attempted = false, time.Now()
	s.mu.Unlock()
	asked, _ := s.roots.watch()
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
	want := expectation{key: key, trustDomain: s.config.TrustDomain, namespace: s.config.Namespace, now: time.Now()}
	if old, _ := s.Watch(); old != nil {
		want.id = old.ID
	}
	svid, err := want.accept(answer)
	if err != nil {
		return nil, err
	}
	if err := s.roots.answered(asked, svid); err != nil {
		return nil, err
	}
	s.replace(svid)
	return svid, nil
}

func (s *Source) replace(svid *SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.refused = svid, false // what was refused was the one before
	s.leaves = append(s.leaves, leaf{svid.Serial(), svid.Fingerprint()})
	s.leaves = s.leaves[max(0, len(s.leaves)-rememberedLeaves):]
	close(s.changed)
	s.changed = make(chan struct{})
	s.config.Metrics.holds(svid)
}

// failed notes how an attempt ended.
func (s *Source) failed(err error) {
	s.mu.Lock()
	s.failure = ""
	if err != nil {
		s.failure = cutText(err.Error())
	}
	s.mu.Unlock()
	s.tell()
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
