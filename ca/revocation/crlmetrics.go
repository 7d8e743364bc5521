package revocation

import "github.com/prometheus/client_golang/prometheus"

type crlMetrics struct{ inForce, nextUpdate, revision, problems prometheus.Gauge }

func newCRLMetrics(reg prometheus.Registerer) (*crlMetrics, error) {
	m := &crlMetrics{
		inForce:    gauge("ensign_crl_in_force", "CRLs in force: one for each issuer that lives and is not revoked, or none."),
		nextUpdate: gauge("ensign_crl_next_update_timestamp_seconds", "When the first CRL in force ends, an hour after its issuer; 0: none is in force."),
		revision:   gauge("ensign_crl_revision", "Revision of the set of CRLs."),
		problems:   gauge("ensign_crl_problems", "Issuers whose CRL is missing, broken or behind. While it is not 0, no CRL may be in force."),
	}
	return m, register(reg, m.inForce, m.nextUpdate, m.revision, m.problems)
}

func (m *crlMetrics) show(d draft) {
	m.inForce.Set(float64(len(d.set.CRLs)))
	m.revision.Set(float64(d.set.Revision))
	m.problems.Set(float64(d.problems))
	m.nextUpdate.Set(0)
	if !d.first.IsZero() {
		m.nextUpdate.Set(float64(d.first.Unix()))
	}
}
