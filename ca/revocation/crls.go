package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultIntroduceWait is how long a new issuer waits for the mesh at most.
	DefaultIntroduceWait = 30 * time.Second
	// retryCRLs is how long after a failure the set is made again, restCRLs how often it
	// is looked at in any case.
	retryCRLs = 5 * time.Second
	restCRLs  = time.Hour
)

// Signer has the keys of issuers.
type Signer interface {
	// Introduced is the certificate of an issuer, by its serial, that may have signed
	// SVIDs and whose key is kept; nil if there is none.
	Introduced(issuerSerial string) *x509.Certificate
	// SignCRL signs a CRL (DER) of an issuer by its serial, lower-case hex, that is valid
	// for [ca.CRLOverlap] longer than the issuer. Errors wrap [ca.ErrIssuerKeyGone].
	SignCRL(issuerSerial string, number *big.Int, revoked []x509.RevocationListEntry) (der []byte, err error)
}

// CRLConfig says what CRLs stand on. Dir, Register, Ledger and Signer are required.
type CRLConfig struct {
	// Dir is made if it is not there, and holds nothing else. Every replica must see it.
	Dir      string
	Register *Register
	Ledger   Certificates
	Signer   Signer
	// Everybody names the proxies that do not have at least this revision of the set yet;
	// nil: nobody is waited for.
	Everybody func(crlRevision uint64) (waiting []string)
	// IntroduceWait is how long Introduce waits for them; 0 is [DefaultIntroduceWait].
	IntroduceWait time.Duration
	// Logger hears of problems. Nil is silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// CRLs keep the set of CRLs that is in force. They are safe for concurrent use; one
// process at a time may write the folder.
type CRLs struct {
	cfg     CRLConfig
	shelf   shelf
	metrics *crlMetrics
	// turn is held by who makes a new set.
	turn sync.Mutex
	mark mark // guarded by turn
	now  atomic.Pointer[published]
	// waits is the issuer that is being introduced; nil: none is.
	waits atomic.Pointer[Introduction]
}

type published struct {
	*Set
	// next is when the first issuer of the ledger expires; zero: there is none.
	// retry: a CRL is missing or behind, or an issuer is not introduced yet.
	next    time.Time
	retry   bool
	changed chan struct{}
}

// OpenCRLs makes the set from the CRLs in the folder, and signs what is missing. That a
// set cannot be made is no error, but [Set].Problem.
func OpenCRLs(ctx context.Context, cfg CRLConfig) (*CRLs, error) {
	if cfg.Dir == "" || cfg.Register == nil || cfg.Ledger == nil || cfg.Signer == nil {
		return nil, errors.New("CRLs need a folder, a register, a ledger and a signer")
	}
	if cfg.IntroduceWait == 0 {
		cfg.IntroduceWait = DefaultIntroduceWait
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := openShelf(cfg.Dir)
	if err != nil {
		return nil, err
	}
	m, err := newCRLMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	c := &CRLs{cfg: cfg, shelf: s, metrics: m}
	if c.mark, err = s.mark(); err != nil {
		// The clock makes a revision that no earlier process can have reached by counting.
		c.mark = mark{Revision: uint64(max(time.Now().Unix(), 1))}
		cfg.Logger.InfoContext(ctx, "revisions of the CRLs begin anew", slog.Uint64("revision", c.mark.Revision), slog.Any("because", err))
	}
	c.now.Store(&published{Set: &Set{Revision: c.mark.Revision}, changed: make(chan struct{})})
	if err := c.refresh(ctx); err != nil {
		return nil, fmt.Errorf("opening the CRLs: %w", err)
	}
	return c, nil
}

// Current is the set in force, and a channel that closes when there is another.
func (c *CRLs) Current() (*Set, <-chan struct{}) {
	p := c.now.Load()
	return p.Set, p.changed
}

// Run makes a new set whenever the list changes, an issuer ends, or the last try
// failed. It returns ctx's error.
func (c *CRLs) Run(ctx context.Context) error {
	for {
		_, changed := c.cfg.Register.Current()
		err := c.refresh(ctx)
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.ErrorContext(ctx, "CRLs not made: tried again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(c.now.Load().wait(time.Now(), err)):
		}
	}
}

// wait is how long a set stands if the list does not change.
func (p *published) wait(now time.Time, err error) time.Duration {
	switch {
	case err != nil || p.retry:
		return retryCRLs
	case p.next.IsZero():
		return restCRLs
	}
	return min(max(p.next.Sub(now), 0)+time.Second, restCRLs)
}

func (c *CRLs) refresh(ctx context.Context) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.remake(ctx)
}

// remake makes the set from the list, the ledger and the folder, and publishes it. With
// an error the earlier one stands. The caller has the turn.
func (c *CRLs) remake(ctx context.Context) error {
	list, _ := c.cfg.Register.Current()
	d, err := c.draft(ctx, list, time.Now())
	if err != nil {
		return err
	}
	if err := c.publish(ctx, d); err != nil {
		return err
	}
	return c.shelf.tidy(time.Now())
}
