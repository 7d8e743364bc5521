package revocation

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type registerMetrics struct{ certificates, identities, issuers, stale prometheus.Gauge }

func newRegisterMetrics(reg prometheus.Registerer) (*registerMetrics, error) {
	m := &registerMetrics{
		certificates: gauge("ensign_revoked_certificates", "Live SVIDs that are cut off, by revocation or quarantine."),
		identities:   gauge("ensign_quarantined_identities", "SPIFFE IDs in quarantine."),
		issuers:      gauge("ensign_revoked_issuers", "Issuers that are revoked and have not expired."),
		stale:        gauge("ensign_revocation_unknown", "1 while an act may be in the ledger whose effect could not be worked out; nothing is issued then."),
	}
	return m, register(reg, m.certificates, m.identities, m.issuers, m.stale)
}

func (m *registerMetrics) show(s *state) {
	m.certificates.Set(float64(len(s.list.Certificates)))
	m.identities.Set(float64(len(s.list.Identities)))
	m.issuers.Set(float64(len(s.list.Issuers)))
	m.stale.Set(0)
	if s.stale != nil {
		m.stale.Set(1)
	}
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func register(reg prometheus.Registerer, collectors ...prometheus.Collector) error {
	if reg == nil {
		return nil
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of revocation: %w", err)
		}
	}
	return nil
}
