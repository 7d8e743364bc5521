package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca"
)

// stageParse is the one stage that happens here and not in package ca.
const stageParse ca.Stage = "parse"

// Metrics counts certificates, ensign_csr_total{outcome} and
// ensign_csr_seconds{stage}, and who asks for too many,
// ensign_issuance_refused_total{reason} and ensign_issuance_surging.
type Metrics struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	refused *prometheus.CounterVec
	surges  *surges
}

// NewMetrics registers the metrics; it panics if they are registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_csr_total",
			Help: "Certificate signing requests by outcome: issued, or why not.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ensign_csr_seconds",
			Help:    "Time spent in each stage of a certificate signing request.",
			Buckets: prometheus.ExponentialBuckets(25e-6, 4, 10), // 25 µs to 6.5 s
		}, []string{"stage"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_issuance_refused_total",
			Help: "Certificates refused because their identity asked for too many: a second (rate) or a day (day).",
		}, []string{"reason"}),
		surges: &surges{of: map[string]*surge{}},
	}
	for _, r := range []reason{reasonRate, reasonDay} {
		m.refused.WithLabelValues(string(r))
	}
	reg.MustRegister(m.total, m.seconds, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ensign_issuance_surging",
		Help: "Identities that were refused a certificate within the last minute because they asked for too many.",
	}, func() float64 { return float64(m.surges.surging(time.Now())) }))
	return m
}

// ObserveStage notes how long a stage took; it fits [ca.Config].Observe.
func (m *Metrics) ObserveStage(stage ca.Stage, took time.Duration) {
	m.seconds.WithLabelValues(string(stage)).Observe(took.Seconds())
}

func (m *Metrics) count(outcome string) { m.total.WithLabelValues(outcome).Inc() }
