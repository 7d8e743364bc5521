package ca

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// IssuerStatus is the issuer that signs SVIDs.
type IssuerStatus struct {
	// Certificate is the issuer's own; nil while none is in force.
	Certificate *x509.Certificate
	// Root is the fingerprint (see [Fingerprint]) of the root that it leads to.
	Root string
	// ReplaceAt is when another is to take over.
	ReplaceAt time.Time
	// Remote: a [Remote] signs each SVID. None is issued while that is away.
	Remote bool
	// Sole: nobody can make another under its root, as it is that of a [Remote], or a CA
	// that was imported and may certify none.
	Sole bool
}

// Status is the issuer in force.
func (s *Service) Status() IssuerStatus {
	i := s.current.Load()
	if i == nil {
		return IssuerStatus{}
	}
	return IssuerStatus{Certificate: i.cert, Root: Fingerprint(i.root), ReplaceAt: i.replaceAt, Remote: i.remote != nil, Sole: i.between != nil}
}

// Settle is for a root that moved and for an issuer that was revoked. It returns once an
// issuer that may sign and leads to [Upstream].Signing signs SVIDs, made if need be, and
// every SVID of the issuers before it is in the ledger. Called again it does nothing more. What fails here, [Service.Run] tries again.
func (s *Service) Settle(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	for !s.settled(time.Now()) {
		if err := s.replace(ctx); err != nil {
			return err
		}
	}
	return s.drained(ctx)
}

// drained returns once whoever took an issuer before has its SVID in the ledger, or
// has none.
func (s *Service) drained(ctx context.Context) error {
	none := make(chan struct{})
	go func() {
		s.inHand.Lock()
		defer s.inHand.Unlock()
		close(none)
	}()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the SVIDs that are being issued: %w", ctx.Err())
	}
}

// settled says whether the newest issuer signs SVIDs, under the root that signs now.
func (s *Service) settled(now time.Time) bool {
	i := s.current.Load()
	return i != nil && i == s.newest.Load() && i.inForce(now) == nil && !s.cfg.Revoked(i.serial) && i.root.Equal(s.cfg.Upstream.Signing())
}
