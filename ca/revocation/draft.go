package revocation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// draft is a set that has no revision yet.
type draft struct {
	set Set
	// first is when the first of its CRLs ends; next when the first issuer does.
	first, next time.Time
	// problems counts the issuers whose CRL is missing or behind.
	problems int
	// pending: an issuer has not been introduced yet.
	pending bool
}

// work is what goes on for one draft.
type work struct {
	*CRLs
	list *List
	now  time.Time
	// needed: somebody is cut off, so that CRLs are in force if they can be.
	needed bool
	// live are the serials that live, by their issuers'; read when first asked for.
	live func() (map[string][]string, error)
}

// draft looks at every issuer that lives. It signs what is missing even if no CRL is
// needed now: when one is, the key may be gone.
func (c *CRLs) draft(ctx context.Context, list *List, now time.Time) (draft, error) {
	issuers, err := c.cfg.Ledger.LiveIssuers(ctx, now)
	if err != nil {
		return draft{}, fmt.Errorf("reading live issuers: %w", err)
	}
	slices.SortFunc(issuers, func(a, b ca.Recorded) int { return cmp.Compare(a.Entry.Serial, b.Entry.Serial) })
	w := c.work(ctx, list, now)
	d := draft{set: Set{For: list.Revision}}
	var missing, behind []string
	for _, i := range issuers {
		d.next = soonest(d.next, i.Entry.NotAfter)
		if slices.ContainsFunc(list.Issuers, func(revoked Issuer) bool { return revoked.Serial == i.Entry.Serial }) {
			continue
		}
		one := w.one(i.Entry)
		switch {
		case one.unneeded:
			d.pending = d.pending || one.pending
			continue
		case one.der == nil:
			missing = append(missing, one.problem.Error())
		case one.problem != nil:
			behind = append(behind, one.problem.Error())
		}
		d.set.CRLs = append(d.set.CRLs, one.der)
		d.set.Warnings = append(d.set.Warnings, one.warnings...)
		d.first = soonest(d.first, i.Entry.NotAfter.Add(ca.CRLOverlap))
	}
	d.problems = len(missing) + len(behind)
	d.settle(w.needed, missing, behind)
	return d, nil
}

// settle decides what is in force: all or none.
func (d *draft) settle(needed bool, missing, behind []string) {
	size := 0
	for _, der := range d.set.CRLs {
		size += len(der)
	}
	switch {
	case len(missing) > 0 && !needed:
		d.set.Warnings = append(d.set.Warnings, "no CRL could be in force now: "+strings.Join(missing, "; "))
	case len(missing) > 0:
		d.set.Problem = strings.Join(missing, "; ")
	case needed && size == 0:
		d.set.Problem = "no issuer lives that is not revoked: no CRL is in force until the next one is introduced"
	case needed && size > MaxSetSize:
		d.set.Problem = fmt.Sprintf("the CRLs are %d bytes, agents take %d: revoke the issuers instead of so many of their certificates", size, MaxSetSize)
	case needed:
		d.set.Problem = strings.Join(behind, "; ")
		return
	}
	d.set.CRLs, d.first = nil, time.Time{}
}

func (c *CRLs) work(ctx context.Context, list *List, now time.Time) work {
	var live map[string][]string
	return work{CRLs: c, list: list, now: now, needed: len(list.Certificates)+len(list.Issuers) > 0,
		live: func() (map[string][]string, error) {
			if live != nil {
				return live, nil
			}
			svids, err := c.cfg.Ledger.LiveSVIDs(ctx, now)
			if err != nil {
				return nil, fmt.Errorf("reading live SVIDs: %w", err)
			}
			live = map[string][]string{}
			for _, s := range svids {
				live[s.Entry.IssuerSerial] = append(live[s.Entry.IssuerSerial], s.Entry.Serial)
			}
			return live, nil
		}}
}

// one is the CRL of one issuer.
type one struct {
	der []byte
	// problem: der is nil, or behind the list.
	problem  error
	warnings []string
	// unneeded: there is none, and nobody misses it; pending: until somebody does.
	unneeded, pending bool
}

func (w work) one(e ca.Entry) one {
	issuer, err := w.issuer(e)
	if err != nil {
		return w.missing(e, err)
	}
	wanted := listed(w.list, e.Serial)
	have, broken := w.shelf.crl(issuer, w.now)
	if broken == nil && (!w.needed || lists(have, wanted)) {
		return one{der: have.Raw}
	}
	der, err := w.sign(issuer, have, wanted, w.now)
	switch {
	case err == nil:
		return one{der: der}
	case broken != nil:
		return one{problem: noCRL(e, fmt.Errorf("%w; %w", broken, err))}
	case errors.Is(err, ca.ErrIssuerKeyGone):
		return one{der: have.Raw, warnings: w.untrue(e, have, wanted)}
	}
	return one{der: have.Raw, problem: fmt.Errorf("the CRL of issuer %s is behind: %w", e.Serial, err)}
}

// issuer is the certificate of an issuer. If its file was lost or ruined it is written
// anew, as long as its key is there: what was introduced once is not introduced again.
func (w work) issuer(e ca.Entry) (*x509.Certificate, error) {
	cert, err := w.shelf.issuer(e)
	if err == nil {
		return cert, nil
	}
	cert = w.cfg.Signer.Introduced(e.Serial)
	if cert == nil || ca.Fingerprint(cert) != e.Certificate {
		return nil, err
	}
	if keepErr := w.shelf.keepIssuer(cert); keepErr != nil {
		return nil, fmt.Errorf("%w; keeping it again: %w", err, keepErr)
	}
	w.cfg.Logger.Warn("the certificate of an issuer was not with the CRLs, and is written again", "issuer", e.Serial, "because", err)
	return cert, nil
}

// missing is an issuer without a CRL. If it was never introduced and no SVID of it
// lives, whom a proxy refuses for want of the CRL was never issued: it is on its way
// from the ledger to its introduction, or died on it.
func (w work) missing(e ca.Entry, why error) one {
	if live, err := w.live(); errors.Is(why, fs.ErrNotExist) && err == nil && len(live[e.Serial]) == 0 {
		_, err := w.cfg.Signer.SignCRL(e.Serial, numberAfter(nil, w.now), nil)
		return one{unneeded: true, pending: !errors.Is(err, ca.ErrIssuerKeyGone)}
	}
	return one{problem: noCRL(e, why)}
}

func noCRL(e ca.Entry, why error) error {
	return fmt.Errorf("issuer %s, which ends at %s, has no CRL (%w): restore the folder from a backup, or revoke the issuer",
		e.Serial, e.NotAfter.UTC().Format(time.RFC3339), why)
}

// untrue says what a CRL that cannot be signed anew is wrong about.
func (w work) untrue(e ca.Entry, have *x509.RevocationList, wanted []x509.RevocationListEntry) []string {
	var found []string
	if serials := without(wanted, have.RevokedCertificateEntries); len(serials) > 0 {
		found = append(found, unlisted(e.Serial, serials))
	}
	live, err := w.live()
	serials := slices.DeleteFunc(without(have.RevokedCertificateEntries, wanted), func(s string) bool {
		return err == nil && !slices.Contains(live[e.Serial], s)
	})
	if len(serials) > 0 {
		found = append(found, fmt.Sprintf("serials %s were let back in and stay on the CRL of issuer %s, whose key is gone: their holders are served when they have renewed",
			strings.Join(serials, ", "), e.Serial))
	}
	return found
}

func unlisted(issuer string, serials []string) string {
	return fmt.Sprintf("serials %s cannot be listed on the CRL of issuer %s, whose key is gone: servers refuse them by denial, and agents cut them, but clients take them for servers; revoke the issuer to end that",
		strings.Join(serials, ", "), issuer)
}

// sign makes a CRL and keeps it.
func (c *CRLs) sign(issuer *x509.Certificate, have *x509.RevocationList, wanted []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	der, err := c.cfg.Signer.SignCRL(serialOf(issuer), numberAfter(have, now), wanted)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	signed, err := checkCRL(der, issuer, time.Now())
	if err != nil {
		return nil, fmt.Errorf("signed CRL %w", err)
	}
	if !lists(signed, wanted) {
		return nil, errors.New("signed CRL lists others than it was to")
	}
	if err := c.shelf.keepCRL(issuer, der); err != nil {
		return nil, fmt.Errorf("keeping: %w", err)
	}
	return der, nil
}

// digest tells sets apart.
func digest(crls [][]byte) string {
	sum := sha256.New()
	for _, der := range crls {
		one := sha256.Sum256(der)
		sum.Write(one[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
