package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// serverRole is behind the name of the role that signs the control plane's own
// certificates: for TLS servers alone, and with other names than SVIDs have.
const serverRole = "-server"

// leafRoot is a root that signs leaves itself, by two roles. It implements [ca.Remote].
type leafRoot struct{ *root }

var (
	_ ca.Remote     = leafRoot{}
	_ rotation.Root = leafRoot{}
)

// CertifyIssuer implements [rotation.Root]: of links alone, since no key outside of Vault
// is to sign leaves.
func (r leafRoot) CertifyIssuer(ctx context.Context, request ca.IssuerRequest) ([]*x509.Certificate, error) {
	if request.Template == nil || !strings.HasPrefix(request.Template.Subject.CommonName, rootPrefix) {
		return nil, fmt.Errorf("vault signs leaves by its role %s, and certifies no issuers", r.place.cfg.Role)
	}
	return r.root.CertifyIssuer(ctx, request)
}

// Healthy implements [ca.Remote].
func (r leafRoot) Healthy() error { return r.place.Healthy(r.name) }

// SignLeaf implements [ca.Remote]. It ends within [Config].Timeout.
func (r leafRoot) SignLeaf(ctx context.Context, request ca.LeafRequest) (*x509.Certificate, error) {
	ctx, cancel := r.place.daily.bounded(ctx)
	defer cancel()
	role, body := r.leafRequest(request, time.Now())
	path := r.place.signPath(r.name, role)
	answer, err := r.place.daily.write(ctx, path, body)
	// What Vault refuses may be this one request's fault, and says nothing of the next.
	if !errors.Is(err, ErrRefused) {
		r.place.daily.health.signed(r.name, err, time.Now())
	}
	if err != nil {
		return nil, err
	}
	cert, err := certificateOf(answer.Data)
	if err != nil {
		r.place.daily.refused(err)
		return nil, fmt.Errorf("certificate signed by %s: %w", path, err)
	}
	return cert, nil
}

// leafRequest is the role and the request. Its fields are those that the policy in
// deploy/vault lists; what else a leaf says is the role's.
func (r leafRoot) leafRequest(request ca.LeafRequest, now time.Time) (role string, body map[string]any) {
	t := request.Template
	body = map[string]any{
		"csr": string(pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: request.CSR})),
		"ttl": seconds(TTL(t.NotAfter.Sub(now))),
	}
	if len(t.URIs) > 0 {
		uris := make([]string, len(t.URIs))
		for i, u := range t.URIs {
			uris[i] = u.String()
		}
		body["uri_sans"] = strings.Join(uris, ",")
		return r.place.cfg.Role, body
	}
	body["alt_names"] = strings.Join(t.DNSNames, ",")
	if len(t.IPAddresses) > 0 {
		ips := make([]string, len(t.IPAddresses))
		for i, ip := range t.IPAddresses {
			ips[i] = ip.String()
		}
		body["ip_sans"] = strings.Join(ips, ",")
	}
	return r.place.cfg.Role + serverRole, body
}
