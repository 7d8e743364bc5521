package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries, commits prometheus.Counter
	seconds          prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensign_ledger_entries_total", Help: "Entries appended to the ledger by this process.",
		}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensign_ledger_commits_total", Help: "Durable commits of the ledger; concurrent entries share one.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ensign_ledger_commit_seconds", Help: "Time of one durable commit.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12),
		}),
	}
	if reg != nil {
		reg.MustRegister(m.entries, m.commits, m.seconds)
	}
	return m
}

func (m *metrics) observe(entries int, took time.Duration) {
	m.entries.Add(float64(entries))
	m.commits.Inc()
	m.seconds.Observe(took.Seconds())
}
