package sds

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the package does. A nil *Metrics counts nothing.
type Metrics struct {
	attempts *prometheus.CounterVec
	expiry   prometheus.Gauge
	secrets  *prometheus.CounterVec
	crls     prometheus.Gauge
	crlSets  *prometheus.CounterVec
	trusts   *prometheus.CounterVec
	sequence prometheus.Gauge
}

// NewMetrics registers the package's metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_svid_attempts_total", Help: "Attempts to obtain an SVID, by result (ok, failed).",
		}, []string{"result"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_svid_expiry_timestamp_seconds", Help: "When the SVID in use expires, as a Unix time; 0 before the first.",
		}),
		secrets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_sds_total", Help: "SDS events (sent, ack, nack, unknown_name, refused).",
		}, []string{"event"}),
		crls: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_crls", Help: "CRLs that Envoy is told to check its peers against now.",
		}),
		crlSets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_crl_sets_total", Help: "Sets of CRLs, by result (taken, dropped: left out as a whole because of one that is not usable).",
		}, []string{"result"}),
	}
	m.trusts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ensign_agent_trust_total", Help: "Words of the control plane on roots, by result (taken, ignored: of an earlier sequence, refused, learned: a root that was shown to follow on a trusted one).",
	}, []string{"result"})
	m.sequence = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ensign_agent_trust_sequence", Help: "Sequence of the control plane's word by which the roots in force came; 0 if they came with an SVID.",
	})
	registerer.MustRegister(m.attempts, m.expiry, m.secrets, m.crls, m.crlSets, m.trusts, m.sequence)
	return m
}

func (m *Metrics) attempt(err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.attempts.WithLabelValues(result).Inc()
}

func (m *Metrics) holds(svid *SVID) {
	if m != nil {
		m.expiry.Set(float64(svid.Expires().Unix()))
	}
}

func (m *Metrics) lists(set *crlSet) {
	if m == nil {
		return
	}
	result := "taken"
	if set.problem != "" {
		result = "dropped"
	}
	m.crls.Set(float64(len(set.lists)))
	m.crlSets.WithLabelValues(result).Inc()
}

func (m *Metrics) trust(result string) {
	if m != nil {
		m.trusts.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) believes(set *rootSet) {
	if m != nil {
		m.sequence.Set(float64(set.sequence))
	}
}

func (m *Metrics) event(name string, n int) {
	if m != nil && n > 0 {
		m.secrets.WithLabelValues(name).Add(float64(n))
	}
}
