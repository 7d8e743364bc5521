package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca"
)

// stageParse is the one stage that happens here and not in package ca.
const stageParse ca.Stage = "parse"

// Metrics counts certificates: ensign_csr_total{outcome} and ensign_csr_seconds{stage}.
type Metrics struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
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
	}
	reg.MustRegister(m.total, m.seconds)
	return m
}

// ObserveStage notes how long a stage took; it fits [ca.Config].Observe.
func (m *Metrics) ObserveStage(stage ca.Stage, took time.Duration) {
	m.seconds.WithLabelValues(string(stage)).Observe(took.Seconds())
}

func (m *Metrics) count(outcome string) { m.total.WithLabelValues(outcome).Inc() }
