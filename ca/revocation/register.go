package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// retryRead is how long after a failure the lists are made again.
	retryRead = time.Second
	// restRead is how long two readings of the ledger are apart at least when all that
	// changes is that certificates expire.
	restRead = 10 * time.Second
)

// Config says what a Register stands on. TrustDomain, Ledger and TokenLife are required.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Ledger      Ledger
	// TokenLife is the longest life of a token that this mesh believes.
	TokenLife time.Duration
	// Logger hears of acts. Nil is silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// Register knows who is cut off. It is safe for concurrent use; one process may
// have one on a ledger.
type Register struct {
	cfg     Config
	metrics *registerMetrics

	// gate is read-locked while an SVID is on its way into the ledger, and locked
	// while an act is: so no SVID comes behind an act that should have covered it.
	gate sync.RWMutex
	// turn is held by who reads the ledger to make a new state of it.
	turn sync.Mutex
	// known are the serials renewed from those that were revoked: nothing comes to
	// them any more. Guarded by turn.
	known map[string][]string
	state atomic.Pointer[state]
}

// state is what the register says until it says something else.
type state struct {
	*verdicts
	// stale: an act may be in the ledger that is not in the list.
	stale error
	// next is when the list changes by itself; zero: never.
	next    time.Time
	changed chan struct{}
}

// Open reads from the ledger who is cut off.
func Open(ctx context.Context, cfg Config) (*Register, error) {
	if cfg.TrustDomain.IsZero() || cfg.Ledger == nil || cfg.TokenLife <= 0 {
		return nil, errors.New("a register of who is cut off needs a trust domain, a ledger and the longest life of a token")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newRegisterMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	r := &Register{cfg: cfg, metrics: m, known: map[string][]string{}}
	r.state.Store(&state{verdicts: judge(cfg.TrustDomain, &List{}), changed: make(chan struct{})})
	if err := r.refresh(ctx); err != nil {
		return nil, fmt.Errorf("opening the register of who is cut off: %w", err)
	}
	return r, nil
}

// Current is who is cut off now, and a channel that closes when that changes.
func (r *Register) Current() (*List, <-chan struct{}) {
	s := r.state.Load()
	return s.list, s.changed
}

// Healthy says why no SVID can be issued now; nil if the lists are known. Errors
// wrap [ErrLists].
func (r *Register) Healthy() error {
	if err := r.state.Load().stale; err != nil {
		return fmt.Errorf("%w: %w", ErrLists, err)
	}
	return nil
}

// RevokedIssuer says whether the issuer with this serial (lower-case hex) must not
// sign. The answer holds until done if it is asked behind [Register.Admit].
func (r *Register) RevokedIssuer(serial string) bool {
	return r.state.Load().issuers[serial]
}

// RevokedKey says whether a key (SHA-256 of its SubjectPublicKeyInfo, lower-case hex) is
// that of a revoked certificate that has not expired, so that it must get no other. The
// answer holds until done if it is asked behind [Register.Admit].
func (r *Register) RevokedKey(key string) bool { return r.state.Load().keys[key] }

// Run drops from the list what has expired, and makes it again after a failure. It
// returns ctx's error.
func (r *Register) Run(ctx context.Context) error {
	for failed := false; ; {
		s := r.state.Load()
		var due <-chan time.Time
		if wait := s.wait(time.Now(), failed); wait >= 0 {
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.changed:
			continue
		case <-due:
		}
		err := r.refresh(ctx)
		if failed = err != nil; failed && ctx.Err() == nil {
			r.cfg.Logger.ErrorContext(ctx, "who is cut off could not be read from the ledger: tried again", slog.Any("error", err))
		}
	}
}

// wait is how long until the list should be made again; negative: never.
func (s *state) wait(now time.Time, failed bool) time.Duration {
	switch {
	case failed || s.stale != nil:
		return retryRead
	case s.next.IsZero():
		return -1
	}
	return max(s.next.Sub(now), restRead)
}

// refresh makes the list from the ledger. With an error the earlier one stands.
func (r *Register) refresh(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	return r.remake(ctx)
}

// remake is refresh for who has the turn.
func (r *Register) remake(ctx context.Context) error {
	now := time.Now()
	f, err := r.read(ctx, now)
	if err != nil {
		return err
	}
	l := f.fold(now)
	r.publish(&state{verdicts: judge(f.td, l), next: next(l, r.cfg.TokenLife, now)})
	return nil
}

// publish takes over a state. Who waits hears of it if they see a difference.
func (r *Register) publish(s *state) {
	old := r.state.Load()
	same := reflect.DeepEqual(old.list, s.list)
	if same {
		s.verdicts = old.verdicts
	}
	if s.changed = old.changed; !same || (old.stale == nil) != (s.stale == nil) {
		s.changed = make(chan struct{})
	}
	r.state.Store(s)
	r.metrics.show(s)
	if s.changed != old.changed {
		close(old.changed)
	}
}

// doubt stops all issuance until the lists are made again.
func (r *Register) doubt(err error) {
	s := *r.state.Load()
	s.stale = err
	r.publish(&s)
}

// next is when the first of what is in a list expires; zero: nothing does.
func next(l *List, tokenLife time.Duration, now time.Time) time.Time {
	var ends []time.Time
	for _, c := range l.Certificates {
		ends = append(ends, c.NotAfter)
	}
	for _, i := range l.Issuers {
		ends = append(ends, i.NotAfter)
	}
	for _, a := range l.Acts {
		if end := a.Time.Add(tokenLife); a.Verb == Revoke && end.After(now) {
			ends = append(ends, end)
		}
	}
	if len(ends) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(ends, time.Time.Compare).Add(time.Second)
}
