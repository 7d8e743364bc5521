package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// pollEverybody is how often the mesh is asked whether it has a new issuer's CRL.
const pollEverybody = 50 * time.Millisecond

// Introduction is an issuer that waits until the mesh has its CRL.
type Introduction struct {
	// Issuer is its serial, lower-case hex.
	Issuer string
	// Waiting names those that have not, and Until is when it signs without them.
	Waiting []string
	Until   time.Time
}

// Introducing is the issuer that waits now; nil if none does.
func (c *CRLs) Introducing() *Introduction { return c.waits.Load() }

// Introduce makes an issuer that the ledger has known to the mesh; only then may it sign
// SVIDs. When it returns nil, its CRL, which is valid as long as the issuer, is on disk
// and every proxy has it, or no CRL is in force, or those who have not were waited
// for long enough. It may be called again, after an error and at every start.
func (c *CRLs) Introduce(ctx context.Context, issuer *x509.Certificate) error {
	set, err := c.enter(ctx, issuer)
	if err != nil {
		return fmt.Errorf("entering the CRL of issuer %s: %w", serialOf(issuer), err)
	}
	if len(set.CRLs) == 0 || c.cfg.Everybody == nil {
		return nil
	}
	until := time.Now().Add(c.cfg.IntroduceWait)
	ctx, cancel := context.WithDeadlineCause(ctx, until, errWaited)
	defer cancel()
	defer c.waits.Store(nil)
	tick := time.NewTicker(pollEverybody)
	defer tick.Stop()
	for {
		waiting := c.cfg.Everybody(set.Revision)
		if len(waiting) == 0 {
			return nil
		}
		c.waits.Store(&Introduction{Issuer: serialOf(issuer), Waiting: waiting, Until: until})
		select {
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errWaited) {
				return ctx.Err()
			}
			c.cfg.Logger.WarnContext(ctx, "an issuer begins to sign though some proxies do not have its CRL: they refuse its SVIDs until they do",
				slog.String("issuer", serialOf(issuer)), slog.Any("waiting", waiting))
			return nil
		case <-tick.C:
			if now, _ := c.Current(); len(now.CRLs) == 0 {
				return nil
			}
		}
	}
}

// errWaited: those who are late were waited for long enough.
var errWaited = errors.New("waited long enough")

// enter puts an issuer's CRL on disk and, if any is in force, into the set.
func (c *CRLs) enter(ctx context.Context, issuer *x509.Certificate) (*Set, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	e := ca.Entry{Serial: serialOf(issuer), Certificate: ca.Fingerprint(issuer), NotAfter: issuer.NotAfter}
	if _, err := c.shelf.issuer(e); err != nil {
		if err := c.shelf.keepIssuer(issuer); err != nil {
			return nil, fmt.Errorf("keeping its certificate: %w", err)
		}
	}
	list, _ := c.cfg.Register.Current()
	one := c.work(ctx, list, time.Now()).one(e)
	if issuer.KeyUsage&x509.KeyUsageCRLSign == 0 || errors.Is(one.problem, ca.ErrNoCRL) {
		// An imported CA, or one whose key is elsewhere: while it lives no CRL is in force,
		// so nobody misses its.
		err := c.remake(ctx)
		set, _ := c.Current()
		return set, err
	}
	if one.der == nil {
		return nil, one.problem
	}
	if err := c.remake(ctx); err != nil {
		return nil, err
	}
	set, _ := c.Current()
	crl, err := c.shelf.crl(issuer, time.Now())
	if err != nil {
		return nil, err
	}
	if len(set.CRLs) > 0 && !slices.ContainsFunc(set.CRLs, func(der []byte) bool { return bytes.Equal(der, crl.Raw) }) {
		return nil, errors.New("the set in force has it not: the issuer is revoked, or not in the ledger")
	}
	return set, nil
}

// Unlisted are the warnings about certificates that are to be revoked and that no CRL
// can list, since the key of their issuer is gone.
func (c *CRLs) Unlisted(certificates []Certificate) []string {
	of := map[string][]string{}
	var issuers, found []string
	for _, cert := range certificates {
		if of[cert.IssuerSerial] == nil {
			issuers = append(issuers, cert.IssuerSerial)
		}
		of[cert.IssuerSerial] = append(of[cert.IssuerSerial], cert.Serial)
	}
	for _, issuer := range issuers {
		if _, err := c.cfg.Signer.SignCRL(issuer, numberAfter(nil, time.Now()), nil); errors.Is(err, ca.ErrIssuerKeyGone) {
			found = append(found, unlisted(issuer, of[issuer]))
		}
	}
	return found
}
