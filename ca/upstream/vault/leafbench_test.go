package vault

import (
	"testing"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// BenchmarkIssuance compares, in one run, SVIDs that an issuer of this process signs under
// Vault's root with those that Vault's role signs each. 16 ask at a time. The ledger is
// one in memory, so that what differs is the signature alone.
func BenchmarkIssuance(b *testing.B) {
	s := newLeafSet(b)
	for _, mode := range []struct{ name, role, policy string }{{"issuers", "", "ensign-daily"}, {"leaves", "svid", "ensign-leaves"}} {
		s.cfg.Role = mode.role
		write(b, s.tokens, s.vault.NewToken(b, "1h", mode.policy))
		service := s.service(b, s.firstRoot(b))
		csr, err := ca.ParseCSR(catest.CSR(b, catest.NewKey(b)))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(mode.name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := service.Issue(b.Context(), ca.Request{Caller: catest.Caller("reader"), CSR: csr}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "SVIDs/s")
		})
	}
}
