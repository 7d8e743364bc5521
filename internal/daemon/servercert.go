package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// serverLife is how long the certificate of 15012 lives; it is replaced at half of it.
const serverLife = 24 * time.Hour

// serverIdentity is what 15012 proves itself with, and the roots of its clients.
// It implements edge.Identity.
type serverIdentity struct {
	issuing *ca.Service
	names   []string
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
}

func newServerIdentity(ctx context.Context, issuing *ca.Service, names []string, log *slog.Logger) (*serverIdentity, error) {
	s := &serverIdentity{issuing: issuing, names: names, log: log}
	return s, s.renew(ctx)
}

// ServerCertificate is the newest certificate; an error once it has expired.
func (s *serverIdentity) ServerCertificate() (*tls.Certificate, error) {
	current := s.current.Load()
	if time.Now().After(current.Leaf.NotAfter) {
		return nil, errors.New("the server certificate has expired and could not be renewed")
	}
	return current, nil
}

// ClientRoots are the roots of the mesh.
func (s *serverIdentity) ClientRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range s.issuing.Bundle().Roots() {
		pool.AddCert(root)
	}
	return pool
}

// run renews the certificate until ctx ends. It looks at the clock every minute:
// a timer alone stands still while a machine sleeps.
func (s *serverIdentity) run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !due(s.current.Load().Leaf, time.Now()) {
			continue
		}
		if err := s.renew(ctx); err != nil {
			s.log.ErrorContext(ctx, "server certificate not renewed", "error", err)
		}
	}
}

// due says whether a server certificate is to be replaced: at half of its life, or
// when the clock was set back to before its start.
func due(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) <= serverLife/2 || now.Before(leaf.NotBefore)
}

func (s *serverIdentity) renew(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the server key: %w", err)
	}
	issued, err := s.issuing.IssueServer(ctx, ca.ServerRequest{Key: key.Public(), Names: s.names, Lifetime: serverLife})
	if err != nil {
		return fmt.Errorf("issuing the server certificate: %w", err)
	}
	certificate := &tls.Certificate{Certificate: [][]byte{issued.Leaf.Raw}, PrivateKey: key, Leaf: issued.Leaf}
	for _, issuer := range issued.Issuers {
		certificate.Certificate = append(certificate.Certificate, issuer.Raw)
	}
	s.current.Store(certificate)
	return nil
}
