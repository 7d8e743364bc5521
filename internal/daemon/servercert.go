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
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// serverLife is how long the certificate of 15012 lives, or less where the CA's limits
// are (--svid-ttl, the issuer's end); it is replaced at half of its life.
const serverLife = 24 * time.Hour

// serverIdentity is what 15012 proves itself with, and the roots of its clients.
// It implements edge.Identity.
type serverIdentity struct {
	issuing serverIssuer
	roots   truster
	names   []string
	// revoked says whether an issuer, by its serial, is: agents take no certificate of it.
	revoked func(issuerSerial string) bool
	log     *slog.Logger

	// asked holds at most one wish to look whether the certificate is still good.
	asked chan struct{}
	// turn is held by who renews.
	turn    sync.Mutex
	current atomic.Pointer[proven]
	shown   atomic.Pointer[showing]
}

// serverIssuer makes server certificates; [*ca.Service] does.
type serverIssuer interface {
	IssueServer(ctx context.Context, r ca.ServerRequest) (ca.Issued, error)
}

// proven is one server certificate, and when it was made.
type proven struct {
	key    *ecdsa.PrivateKey
	issued ca.Issued
	made   time.Time
}

// showing is what is shown of it while one thing is trusted.
type showing struct {
	of          *proven
	trust       *rotation.Trust
	certificate *tls.Certificate
	clients     *x509.CertPool
}

// newServerIdentity makes the first certificate. While nothing can be signed or recorded
// there is none: agents are refused, and run tries again.
func newServerIdentity(ctx context.Context, issuing serverIssuer, roots truster, names []string, revoked func(issuerSerial string) bool, log *slog.Logger) (*serverIdentity, error) {
	s := &serverIdentity{issuing: issuing, roots: roots, names: names, revoked: revoked, log: log, asked: make(chan struct{}, 1)}
	err := s.renew(ctx)
	if passes(err) {
		log.ErrorContext(ctx, "no server certificate: agents are not served until one can be issued", "error", err)
		return s, nil
	}
	return s, err
}

// passes says whether nothing could be signed, or recorded, for now.
func passes(err error) bool {
	return errors.Is(err, ca.ErrIssuerExpired) || errors.Is(err, ca.ErrRemote) || errors.Is(err, ca.ErrLedger)
}

// ServerCertificate is the newest certificate; an error once it has expired, or while
// there is none.
func (s *serverIdentity) ServerCertificate() (*tls.Certificate, error) {
	now := s.show()
	if now.of == nil {
		return nil, errors.New("there is no server certificate: nothing can be issued yet")
	}
	if time.Now().After(now.certificate.Leaf.NotAfter) {
		return nil, errors.New("the server certificate has expired and could not be renewed")
	}
	return now.certificate, nil
}

// ClientRoots are the roots of the mesh.
func (s *serverIdentity) ClientRoots() *x509.CertPool { return s.show().clients }

// show is what the newest certificate looks like under what is trusted now. Behind it
// and its issuers come the roots, and what links them to those before: an agent that
// was away while they changed finds its way by these.
func (s *serverIdentity) show() *showing {
	held := s.current.Load()
	trust, _ := s.roots.Trust()
	if now := s.shown.Load(); now != nil && now.of == held && now.trust == trust {
		return now
	}
	now := &showing{of: held, trust: trust, clients: x509.NewCertPool()}
	roots := trust.Bundle.Roots()
	if held != nil {
		now.certificate = held.behind(roots, trust.Links)
	}
	for _, root := range roots {
		now.clients.AddCert(root)
	}
	s.shown.Store(now)
	return now
}

// behind is the certificate with these behind it and its issuers.
func (p *proven) behind(roots, links []*x509.Certificate) *tls.Certificate {
	shown := &tls.Certificate{Certificate: [][]byte{p.issued.Leaf.Raw}, PrivateKey: p.key, Leaf: p.issued.Leaf}
	for _, list := range [][]*x509.Certificate{p.issued.Issuers, roots, links} {
		for _, c := range list {
			shown.Certificate = append(shown.Certificate, c.Raw)
		}
	}
	return shown
}

// run renews the certificate until ctx ends.
func (s *serverIdentity) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.asked:
		case <-time.After(s.pause()):
		}
		held := s.current.Load()
		bad := held.bad(s.revoked)
		if !bad && !held.due(time.Now()) {
			continue
		}
		if err := s.renew(ctx); err != nil && (!bad || !passes(err)) {
			s.log.ErrorContext(ctx, "server certificate not renewed", "error", err)
		}
	}
}

// look has run look whether the certificate is still good. It does not wait.
func (s *serverIdentity) look() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// pause is how long until the next look at the clock: a minute at most, since a timer
// alone stands still while a machine sleeps, an eighth of a short life, a second while
// there is no good certificate: another issuer signs one before it signs SVIDs.
func (s *serverIdentity) pause() time.Duration {
	held := s.current.Load()
	if held.bad(s.revoked) {
		return time.Second
	}
	return max(min(held.life()/8, time.Minute), time.Second)
}

// bad says whether there is no certificate, or one whose issuer is revoked.
func (p *proven) bad(revoked func(issuerSerial string) bool) bool {
	return p == nil || slices.ContainsFunc(p.issued.Issuers, func(c *x509.Certificate) bool { return revoked(c.SerialNumber.Text(16)) })
}

// life is how long the certificate was to be used when it was made.
func (p *proven) life() time.Duration { return p.issued.Leaf.NotAfter.Sub(p.made) }

// due says whether a server certificate is to be replaced: at half of its life, or
// when the clock was set back to before its start.
func (p *proven) due(now time.Time) bool {
	leaf := p.issued.Leaf
	return leaf.NotAfter.Sub(now) <= p.life()/2 || now.Before(leaf.NotBefore)
}

// settle has the certificate lead to a root, after an issuer of that root signs.
func (s *serverIdentity) settle(ctx context.Context, root *x509.Certificate) error {
	if held := s.current.Load(); held != nil && held.leadsTo(root) == nil {
		return nil
	}
	if err := s.renew(ctx); err != nil {
		return err
	}
	if err := s.current.Load().leadsTo(root); err != nil {
		return fmt.Errorf("having the server certificate lead to %q: %w", root.Subject, err)
	}
	return nil
}

// leadsTo is nil if the certificate verifies under a root.
func (p *proven) leadsTo(root *x509.Certificate) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	options.Roots.AddCert(root)
	for _, c := range p.issued.Issuers {
		options.Intermediates.AddCert(c)
	}
	_, err := p.issued.Leaf.Verify(options)
	return err
}

func (s *serverIdentity) renew(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the server key: %w", err)
	}
	csr, err := ca.NewCSR(key)
	if err != nil {
		return fmt.Errorf("asking for the server certificate: %w", err)
	}
	issued, err := s.issuing.IssueServer(ctx, ca.ServerRequest{CSR: csr, Names: s.names, Lifetime: serverLife})
	if err != nil {
		return fmt.Errorf("issuing the server certificate: %w", err)
	}
	s.current.Store(&proven{key: key, issued: issued, made: time.Now()})
	return nil
}
