package ca

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// ServerRequest asks for a TLS server certificate of the control plane itself.
// Only the process that holds the Service can ask; no RPC leads here.
type ServerRequest struct {
	// CSR gives the server's key: see [NewCSR].
	CSR CSR
	// Names are DNS names and IP addresses in text, at least one. Wildcards
	// and URIs are refused.
	Names []string
	// Lifetime as in [Request].
	Lifetime time.Duration
}

// IssueServer makes one server certificate by the same stages as [Service.Issue].
// It holds no SPIFFE ID and no workload can be given one: what it proves and what
// an SVID proves do not overlap.
func (s *Service) IssueServer(ctx context.Context, r ServerRequest) (Issued, error) {
	if r.Lifetime < 0 {
		return Issued{}, fmt.Errorf("%w: %s", ErrLifetime, r.Lifetime)
	}
	if r.CSR.key == nil {
		return Issued{}, errors.New("a server certificate needs a key")
	}
	dns, ips, err := serverNames(r.Names)
	if err != nil {
		return Issued{}, err
	}
	who, err := server(r.CSR, dns, ips)
	if err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, s.newest.Load(), who, r.Lifetime, func(i Issued, now time.Time) Entry {
		e := CertificateEntry(KindServer, i.Leaf, i.Issuers[0], now)
		e.Names = strings.Join(r.Names, ",")
		return e
	})
}

// serverNames sorts addresses from DNS names.
func serverNames(names []string) (dns []string, ips []net.IP, err error) {
	if len(names) == 0 {
		return nil, nil, errors.New("a server certificate needs a name")
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			ips = append(ips, ip)
			continue
		}
		if !isDNSName(n) {
			return nil, nil, fmt.Errorf("server name %q is neither a DNS name nor an IP address", n)
		}
		dns = append(dns, n)
	}
	return dns, ips, nil
}

// isDNSName allows letters, digits, - and _ in labels of 1 to 63 bytes.
func isDNSName(name string) bool {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	return len(name) <= 253 && !slices.ContainsFunc(strings.Split(name, "."), func(label string) bool {
		return label == "" || len(label) > 63 || strings.ContainsFunc(label, bad)
	})
}
