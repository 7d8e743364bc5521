package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca"
)

// registerMetrics shows until when the authority can go on issuing.
func (a *authority) registerMetrics(reg prometheus.Registerer) {
	issuer := func(of func(ca.IssuerStatus) time.Time) func() float64 {
		return func() float64 {
			now := a.issuing.Status()
			if now.Certificate == nil {
				return 0
			}
			return float64(of(now).Unix())
		}
	}
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ensign_issuer_expiry_timestamp_seconds",
			Help: "When the issuer that signs SVIDs now ends; 0 while there is none.",
		}, issuer(func(s ca.IssuerStatus) time.Time { return s.Certificate.NotAfter })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ensign_issuer_replace_timestamp_seconds",
			Help: "When another issuer should take over from the one that signs SVIDs now; 0 while there is none.",
		}, issuer(func(s ca.IssuerStatus) time.Time { return s.ReplaceAt })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ensign_ledger_writable",
			Help: "1 while the ledger can be written, else 0: nothing is issued then.",
		}, func() float64 {
			if a.ledger.Healthy() != nil {
				return 0
			}
			return 1
		}),
	)
}
