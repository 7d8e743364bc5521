package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// fresh: an SVID this young may not have reached a proxy, or its report us.
	fresh = 10 * time.Minute
	// grace is how long after an act somebody who is cut off may still have been met.
	grace = time.Minute
)

// Find says what does not fit, the gravest first. An error is the record's: then
// nothing is known of what is unlogged.
func Find(ctx context.Context, in Input) ([]Finding, Totals, error) {
	a := &audit{Input: in, serving: servingOf(in), issued: map[validity]bool{}}
	for _, one := range in.Live {
		e := one.Entry
		a.issued[validityOf(e.SPIFFEID, e.IssuerSubject, e.NotBefore, e.NotAfter)] = true
	}
	for _, w := range instances(in.Live) {
		a.instance(w)
	}
	for _, one := range in.Live {
		a.orphan(one.Entry)
	}
	if err := a.served(ctx); err != nil {
		return nil, Totals{}, err
	}
	if err := a.met(ctx); err != nil {
		return nil, Totals{}, err
	}
	for _, s := range in.Surges {
		a.add(Finding{Kind: Surge, SPIFFEID: s.SPIFFEID, At: s.Since,
			Detail: fmt.Sprintf("%d requests were refused because it asked for more certificates than it may have: a restart loop, or somebody who uses its token", s.Refused)})
	}
	return sorted(a.findings), a.totals(), nil
}

// audit is one run of Find.
type audit struct {
	Input
	serving map[string]bool
	// issued are the live SVIDs, as a client's Envoy tells of a server's.
	issued   map[validity]bool
	findings []Finding
}

type validity struct {
	id, issuer          string
	notBefore, notAfter int64
}

func validityOf(id, issuer string, notBefore, notAfter time.Time) validity {
	return validity{id, issuer, notBefore.Unix(), notAfter.Unix()}
}

func (a *audit) add(f Finding) { a.findings = append(a.findings, f) }

// servingOf are the fingerprints and serials that proxies use, as agents report.
func servingOf(in Input) map[string]bool {
	serving := map[string]bool{}
	for _, r := range in.Reports {
		serving[r.AckedSerial], serving[r.AckedFingerprint] = true, true
		for _, print := range r.ServedFingerprints {
			serving[strings.TrimPrefix(print, "serial:")] = true
		}
	}
	for _, s := range in.Sightings {
		serving[s.Fingerprint] = true
	}
	delete(serving, "")
	return serving
}

// served looks at what agents say that their Envoys show and have acknowledged.
func (a *audit) served(ctx context.Context) error {
	for _, r := range a.Reports {
		where := r.Namespace + "/" + r.Pod
		for _, print := range append([]string{r.AckedFingerprint}, r.ServedFingerprints...) {
			if print == "" {
				continue
			}
			name := strings.TrimPrefix(print, "serial:")
			if err := a.recorded(ctx, name, Finding{SPIFFEID: r.SPIFFEID, Where: where, At: r.ReceivedAt, Detail: "its Envoy serves certificate " + name}); err != nil {
				return err
			}
			if cut, revoked := a.Cut[name]; revoked && r.ReceivedAt.After(cut.Since.Add(grace)) {
				a.add(Finding{Kind: RevokedInUse, SPIFFEID: r.SPIFFEID, Serial: cut.Serial, Where: where, At: r.ReceivedAt,
					Detail: "its Envoy still serves a certificate that was cut off: it can't renew, see its agent's log"})
			}
		}
		if r.Ledger != nil && r.Ledger.Fork != "" {
			a.add(Finding{Kind: Fork, SPIFFEID: r.SPIFFEID, Where: where, At: r.ReceivedAt,
				Detail: "its agent was shown another history of the ledger: " + r.Ledger.Fork})
		}
	}
	return nil
}

// recorded adds an unlogged finding if the ledger does not hold the certificate.
func (a *audit) recorded(ctx context.Context, name string, f Finding) error {
	held, err := a.Record.Holds(ctx, name)
	if err != nil {
		return fmt.Errorf("looking for certificate %s: %w", name, err)
	}
	if !held {
		f.Kind = Unlogged
		f.Detail += ", which the ledger does not hold: some key signed it past the record; find out which, and revoke that issuer"
		a.add(f)
	}
	return nil
}

// met looks at the peers that Envoys met.
func (a *audit) met(ctx context.Context) error {
	for _, s := range a.Sightings {
		f := Finding{SPIFFEID: s.SPIFFEID, Serial: s.Serial, Where: s.Namespace + "/" + s.Pod, At: s.SeenAt}
		if s.Fingerprint == "" {
			if err := a.metServer(ctx, f, s.IssuerSubject, s.NotBefore, s.NotAfter); err != nil {
				return err
			}
			continue
		}
		f.Detail = "a client showed it certificate " + s.Fingerprint
		if err := a.recorded(ctx, s.Fingerprint, f); err != nil {
			return err
		}
		if cut, revoked := a.Cut[s.Fingerprint]; revoked && s.SeenAt.After(cut.Since.Add(grace)) {
			f.Kind, f.Detail = RevokedInUse, "a client used a certificate here that was cut off: does this proxy obey? see `ensign proxy status`"
			a.add(f)
		}
	}
	return nil
}

func (a *audit) metServer(ctx context.Context, f Finding, issuer string, notBefore, notAfter time.Time) error {
	if a.issued[validityOf(f.SPIFFEID, issuer, notBefore, notAfter)] {
		return nil
	}
	issued, err := a.Record.Issued(ctx, f.SPIFFEID, issuer, notBefore, notAfter)
	if err != nil {
		return fmt.Errorf("looking for a certificate of %s: %w", f.SPIFFEID, err)
	}
	if !issued {
		f.Kind = Unlogged
		f.Detail = fmt.Sprintf("a server showed it a certificate of %s, valid %s to %s, that the ledger does not hold", issuer,
			notBefore.UTC().Format(time.RFC3339), notAfter.UTC().Format(time.RFC3339))
		a.add(f)
	}
	return nil
}

func (a *audit) totals() Totals {
	ids, served := map[string]bool{}, 0
	for _, one := range a.Live {
		ids[one.Entry.SPIFFEID] = true
		if a.serving[one.Entry.Certificate] || a.serving[one.Entry.Serial] {
			served++
		}
	}
	return Totals{Identities: len(ids), LiveSVIDs: len(a.Live), Served: served, Sightings: len(a.Sightings)}
}
