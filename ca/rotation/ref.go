package rotation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Bounds of a root's chain, so that its entry fits into the ledger.
const (
	maxChain = 8
	maxDER   = 16 << 10
)

// Ref is a root as the ledger remembers it: enough to open it again.
type Ref struct {
	Place string `json:"place"`
	Name  string `json:"name"`
	// Chain is DER, as [Root].Chain.
	Chain [][]byte `json:"chain"`
}

// anchor is a root that there is or was. It is immutable but while a state is folded.
type anchor struct {
	place, name string
	chain       []*x509.Certificate
	fingerprint string
	compromised bool
}

func refOf(place, name string, chain []*x509.Certificate) *Ref {
	r := &Ref{Place: place, Name: name}
	for _, c := range chain {
		r.Chain = append(r.Chain, c.Raw)
	}
	return r
}

// anchor parses and checks a reference.
func (r *Ref) anchor() (*anchor, error) {
	if r == nil || r.Place == "" || r.Name == "" {
		return nil, errors.New("it names no root")
	}
	var chain []*x509.Certificate
	for _, der := range r.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parsing chain of root %s in %s: %w", r.Name, r.Place, err)
		}
		chain = append(chain, cert)
	}
	if err := checkChain(chain); err != nil {
		return nil, fmt.Errorf("root %s in %s: %w", r.Name, r.Place, err)
	}
	return &anchor{place: r.Place, name: r.Name, chain: chain, fingerprint: ca.Fingerprint(chain[len(chain)-1])}, nil
}

// checkChain wants CAs, each signed by the next and the last by itself.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) == 0 || len(chain) > maxChain {
		return fmt.Errorf("its chain has %d certificates, not 1 to %d", len(chain), maxChain)
	}
	size := 0
	for i, c := range chain {
		parent := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(parent); err != nil {
			return fmt.Errorf("its chain does not hold at %q: %w", c.Subject, err)
		}
		size += len(c.Raw)
	}
	if size > maxDER {
		return fmt.Errorf("its chain has %d bytes, more than %d", size, maxDER)
	}
	return nil
}

// root is what workloads trust, ca what signs issuers.
func (a *anchor) root() *x509.Certificate { return a.chain[len(a.chain)-1] }
func (a *anchor) ca() *x509.Certificate   { return a.chain[0] }
func (a *anchor) ref() *Ref               { return refOf(a.place, a.name, a.chain) }

// serial is that of what signs issuers, or SVIDs itself.
func (a *anchor) serial() string { return a.ca().SerialNumber.Text(16) }

// notAfter is when the first of the chain ends, notBefore when the last of it begins.
func (a *anchor) notAfter() time.Time {
	end := a.ca().NotAfter
	for _, c := range a.chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

func (a *anchor) notBefore() time.Time {
	start := a.ca().NotBefore
	for _, c := range a.chain {
		if c.NotBefore.After(start) {
			start = c.NotBefore
		}
	}
	return start
}

func (a *anchor) expired(now time.Time) bool { return !now.Before(a.notAfter()) }

// believable says why nobody should trust the root any more.
func (a *anchor) believable(now time.Time) error {
	switch {
	case a.compromised:
		return fmt.Errorf("root %s was compromised", a)
	case a.expired(now):
		return fmt.Errorf("root %s has expired at %s", a, clock(a.notAfter()))
	}
	return nil
}

// String names the root for people.
func (a *anchor) String() string {
	return fmt.Sprintf("%q (%.12s, %s in %s)", a.root().Subject.String(), a.fingerprint, a.name, a.place)
}
