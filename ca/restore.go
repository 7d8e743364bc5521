package ca

import (
	"cmp"
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"
)

// restore goes on with the newest issuer that was in force and leads to the root that
// signs now; without one, to another root that is trusted. The rest sign CRLs only.
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
	trusted, err := s.trusted(ctx)
	if err != nil {
		return err
	}
	kept, signing := s.keys.all(), s.cfg.Upstream.Signing()
	roots := append([]*x509.Certificate{signing}, trusted.roots...)
	var usable []*issuer
	for _, k := range kept {
		root, err := s.rootOf(k, roots, now)
		if err != nil {
			s.cfg.Logger.WarnContext(ctx, "kept issuer is not used", slog.String("serial", k.Serial()), slog.Any("error", err))
		} else if k.Introduced && !s.cfg.Revoked(k.Serial()) {
			usable = append(usable, s.assemble(k, root))
		}
	}
	if len(usable) > 0 {
		best := slices.MaxFunc(usable, func(a, b *issuer) int {
			return cmp.Or(compareTrue(a.root.Equal(signing), b.root.Equal(signing)), a.cert.NotAfter.Compare(b.cert.NotAfter))
		})
		s.current.Store(best)
		s.newest.Store(best)
	}
	slices.SortFunc(kept, func(a, b StoredIssuer) int { return a.Chain[0].NotAfter.Compare(b.Chain[0].NotAfter) })
	return s.record(ctx, now, roots, kept...)
}

// assemble makes an issuer of what is kept, with its remote if its key is there.
func (s *Service) assemble(k StoredIssuer, root *x509.Certificate) *issuer {
	i := assembleIssuer(k, root)
	if k.Remote {
		i.remote = s.remoteOf(i.cert)
	}
	return i
}

func compareTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// rootOf is the first of the roots that a kept issuer leads to within its limits.
func (s *Service) rootOf(k StoredIssuer, roots []*x509.Certificate, now time.Time) (_ *x509.Certificate, err error) {
	for _, root := range roots {
		if err = s.check(k, root, now); err == nil {
			return root, nil
		}
	}
	return nil, err
}

// check refuses a kept issuer that does not lead to a root, or lacks its limits.
func (s *Service) check(k StoredIssuer, root *x509.Certificate, now time.Time) error {
	if err := s.checkKind(k, root); err != nil {
		return err
	}
	if k.Remote {
		return checkRemote(k.Chain, root, now)
	}
	if !k.Imported {
		if err := checkScope(k.Chain[0], s.cfg.TrustDomain); err != nil {
			return err
		}
	}
	return checkLimits(k.Chain, root, now)
}
