package ca

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// An issuer comes into force in these steps. A crash between any two leaves what
// the next start goes on with, and never an issuer in the ledger without its key,
// whose CRL nobody could sign:
//
//  1. the key is made and certified (a crash: nobody has it);
//  2. key and chain are kept, durably;
//  3. the ledger has it; from here on it signs for the control plane itself;
//  4. it is introduced (see Config.Introduce);
//  5. that it was is kept, durably;
//  6. it signs SVIDs.

// A rotation of the root is the same: the issuer before leads to another root than the
// one that signs now, and so is due at once. Which issuers there are is what is kept and
// nothing beside it, so that a restart in the middle picks as this process would.

// replace goes through what is left of the steps. The caller has the turn.
func (s *Service) replace(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.introduce(ctx)
}

// begin takes the next issuer as far as the ledger: one that is kept and fit, for an
// earlier try or the root before a rollback, or else a new one.
func (s *Service) begin(ctx context.Context) error {
	now := time.Now()
	if i := s.newest.Load(); i != nil && s.fit(i, now) {
		return nil
	}
	next := s.keptFit(now)
	if next == nil {
		var err error
		if next, err = s.makeIssuer(ctx, now); err != nil {
			return err
		}
		if err := s.keys.keep(StoredIssuer{Key: next.key, Chain: next.chain, Remote: next.remote != nil}); err != nil {
			return err
		}
	}
	// An append that failed may be in the ledger all the same.
	kept, _ := s.keys.find(next.serial)
	if err := s.record(ctx, now, []*x509.Certificate{next.root}, kept); err != nil {
		return err
	}
	s.newest.Store(next)
	return nil
}

// makeIssuer makes an issuer, or takes the one that is elsewhere.
func (s *Service) makeIssuer(ctx context.Context, now time.Time) (*issuer, error) {
	if remote := s.remote(); remote != nil {
		return newRemoteIssuer(remote, now)
	}
	return newIssuer(ctx, s.cfg.Upstream, s.cfg.TrustDomain, s.cfg.Profile.issuer)
}

// introduce takes the newest issuer from the ledger into force.
func (s *Service) introduce(ctx context.Context) error {
	next := s.newest.Load()
	if s.cfg.Introduce != nil {
		if err := s.cfg.Introduce(ctx, next.cert); err != nil {
			return fmt.Errorf("introducing issuer %s: %w", next.serial, err)
		}
	}
	kept, _ := s.keys.find(next.serial)
	kept.Introduced = true
	if err := s.keys.keep(kept); err != nil {
		return err
	}
	s.current.Store(next)
	s.cfg.Logger.InfoContext(ctx, "issuer in force", slog.String("subject", next.cert.Subject.String()),
		slog.String("serial", next.serial), slog.String("root", next.root.Subject.String()),
		slog.Time("not_after", next.cert.NotAfter), slog.Time("replace_at", next.replaceAt))
	if kept.Imported {
		s.cfg.Logger.WarnContext(ctx, "an imported CA signs SVIDs: it is not limited to this trust domain, it is not replaced before its end, "+
			"and whoever holds another CA of its root can be anybody in this mesh: run `ensign ca rotate root`", slog.String("subject", next.cert.Subject.String()))
	}
	return nil
}

// fit says whether an issuer may come into force, or stay there. What is not fit and
// in force signs on until another is there.
func (s *Service) fit(i *issuer, now time.Time) bool {
	return i.inForce(now) == nil && !i.due(now) && !s.cfg.Revoked(i.serial) && i.root.Equal(s.cfg.Upstream.Signing())
}

// keptFit is the kept issuer that is fit for longest; nil if there is none.
func (s *Service) keptFit(now time.Time) (best *issuer) {
	signing := s.cfg.Upstream.Signing()
	for _, k := range s.keys.all() {
		i := s.assemble(k, signing)
		if best != nil && !i.cert.NotAfter.After(best.cert.NotAfter) || !s.fit(i, now) || s.check(k, signing, now) != nil {
			continue
		}
		best = i
	}
	return best
}

// record makes the ledger hold issuers under any of the roots, each once.
func (s *Service) record(ctx context.Context, now time.Time, roots []*x509.Certificate, issuers ...StoredIssuer) error {
	held, err := s.cfg.LiveIssuers(ctx, now)
	if err != nil {
		return fmt.Errorf("%w: reading its issuers: %w", ErrLedger, err)
	}
	for _, i := range issuers {
		cert := i.Chain[0]
		if slices.ContainsFunc(held, func(r Recorded) bool { return r.Entry.Certificate == Fingerprint(cert) }) {
			continue
		}
		e := CertificateEntry(KindIssuer, cert, cert, now)
		e.IssuerSerial = i.parentSerial(roots)
		if _, err := s.append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
