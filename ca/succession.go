package ca

import (
	"context"
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

// replace goes through what is left of the steps. The caller has the turn.
func (s *Service) replace(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.introduce(ctx)
}

// begin takes the pending issuer, or a new one, as far as the ledger.
func (s *Service) begin(ctx context.Context) error {
	now := time.Now()
	if s.pending == nil || s.unfit(s.pending, now) {
		next, err := newIssuer(ctx, s.cfg.Upstream, s.cfg.TrustDomain, s.cfg.Profile.issuer)
		if err != nil {
			return err
		}
		if err := s.keys.keep(StoredIssuer{Key: next.key, Chain: next.chain}); err != nil {
			return err
		}
		s.pending = next
	}
	if s.newest.Load() == s.pending {
		return nil
	}
	// An append that failed may be in the ledger all the same.
	if err := s.record(ctx, now, s.pending); err != nil {
		return err
	}
	s.newest.Store(s.pending)
	return nil
}

// introduce takes the pending issuer from the ledger into force.
func (s *Service) introduce(ctx context.Context) error {
	next := s.pending
	if s.cfg.Introduce != nil {
		if err := s.cfg.Introduce(ctx, next.cert); err != nil {
			return fmt.Errorf("introducing issuer %s: %w", next.serial, err)
		}
	}
	if err := s.keys.keep(StoredIssuer{Key: next.key, Chain: next.chain, Introduced: true}); err != nil {
		return err
	}
	s.current.Store(next)
	s.pending = nil
	s.cfg.Logger.InfoContext(ctx, "issuer in force", slog.String("subject", next.cert.Subject.String()),
		slog.String("serial", next.serial), slog.Time("not_after", next.cert.NotAfter), slog.Time("replace_at", next.replaceAt))
	return nil
}

// unfit says whether an issuer should not come into force any more.
func (s *Service) unfit(i *issuer, now time.Time) bool {
	return i.inForce(now) != nil || i.due(now) || s.cfg.Revoked(i.serial)
}

// record makes the ledger hold the issuers, each once.
func (s *Service) record(ctx context.Context, now time.Time, issuers ...*issuer) error {
	held, err := s.cfg.LiveIssuers(ctx, now)
	if err != nil {
		return fmt.Errorf("%w: reading its issuers: %w", ErrLedger, err)
	}
	for _, i := range issuers {
		print := Fingerprint(i.cert)
		if slices.ContainsFunc(held, func(r Recorded) bool { return r.Entry.Certificate == print }) {
			continue
		}
		if _, err := s.append(ctx, CertificateEntry(KindIssuer, i.cert, i.parent(), now)); err != nil {
			return err
		}
	}
	return nil
}

// restore goes on with the issuers that were kept: with the newest that was in
// force, and with a newer one that was on its way. The others sign CRLs only.
func (s *Service) restore(ctx context.Context) error {
	now := time.Now()
	var err error
	if s.keys, err = openKeyring(s.cfg.Issuers); err != nil {
		s.cfg.Logger.ErrorContext(ctx, "kept issuers not read: CRLs of theirs cannot be signed anew; restore the files from a backup, or delete them",
			slog.Any("error", err))
	}
	if err := s.keys.prune(now); err != nil {
		s.cfg.Logger.ErrorContext(ctx, "expired issuer keys not deleted", slog.Any("error", err))
	}
	kept := s.keys.all()
	if len(kept) == 0 {
		return nil
	}
	bundle, err := s.cfg.Upstream.Bundle(ctx)
	if err != nil {
		return fmt.Errorf("reading roots of the kept issuers: %w", err)
	}
	slices.SortFunc(kept, func(a, b StoredIssuer) int { return a.Chain[0].NotAfter.Compare(b.Chain[0].NotAfter) })
	var all []*issuer
	for _, k := range kept {
		i := assembleIssuer(k.Key, k.Chain, bundle)
		all = append(all, i)
		s.resume(ctx, i, k.Introduced, now)
	}
	return s.record(ctx, now, all...)
}

// resume takes up one kept issuer after those that are older.
func (s *Service) resume(ctx context.Context, i *issuer, introduced bool, now time.Time) {
	if err := checkLimits(i.chain, i.key.Public(), s.cfg.TrustDomain, i.bundle, now); err != nil {
		s.cfg.Logger.WarnContext(ctx, "kept issuer is not used", slog.String("serial", i.serial), slog.Any("error", err))
		return
	}
	switch {
	case s.cfg.Revoked(i.serial):
	case introduced:
		s.current.Store(i)
		s.newest.Store(i)
		s.pending = nil
	case !i.due(now):
		s.newest.Store(i)
		s.pending = i
	}
}
