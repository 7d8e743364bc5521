package ca

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// bundleEndpointPath has a form that no service account's SPIFFE ID can take.
const bundleEndpointPath = "/ensign/bundle-endpoint"

// BundleEndpointID is who serves a mesh's roots to other trust domains by the profile
// https_spiffe. It is no account's, so no caller can be given it and 15012 refuses it.
func BundleEndpointID(td spiffeid.TrustDomain) (spiffeid.ID, error) {
	return spiffeid.FromPath(td, bundleEndpointPath)
}

// IssueBundleEndpoint makes an X509-SVID of [BundleEndpointID] by the same stages as
// [Service.Issue]; life is as in [Request]. Only the process that holds the Service
// can ask; no RPC leads here. The ledger holds it as a server's, not as a workload's.
func (s *Service) IssueBundleEndpoint(ctx context.Context, csr CSR, life time.Duration) (Issued, error) {
	if life < 0 {
		return Issued{}, fmt.Errorf("%w: %s", ErrLifetime, life)
	}
	if csr.key == nil {
		return Issued{}, errors.New("the bundle endpoint's SVID needs a key")
	}
	id, err := BundleEndpointID(s.cfg.TrustDomain)
	if err != nil {
		return Issued{}, fmt.Errorf("naming the bundle endpoint: %w", err)
	}
	// Both usages, as a workload's: the standard demands both of an X509-SVID.
	who, err := workload(id, csr)
	if err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, s.newest.Load(), who, life, func(i Issued, now time.Time) Entry {
		e := CertificateEntry(KindServer, i.Leaf, i.Issuers[0], now)
		e.SPIFFEID = id.String()
		return e
	})
}
