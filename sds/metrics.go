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
	registerer.MustRegister(m.attempts, m.expiry, m.secrets, m.crls, m.crlSets)
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

func (m *Metrics) event(name string, n int) {
	if m != nil && n > 0 {
		m.secrets.WithLabelValues(name).Add(float64(n))
	}
}
