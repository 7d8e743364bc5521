package ledger

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries, commits, failures prometheus.Counter
	seconds                    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensign_ledger_entries_total", Help: "Entries appended to the ledger by this process.",
		}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensign_ledger_commits_total", Help: "Durable commits of the ledger; concurrent entries share one.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensign_ledger_commit_failures_total", Help: "Commits of the ledger that did not succeed; all their callers were refused.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ensign_ledger_commit_seconds", Help: "Time of one durable commit.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12),
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.entries, m.commits, m.failures, m.seconds} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the ledger's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observe(entries int, took time.Duration) {
	m.entries.Add(float64(entries))
	m.commits.Inc()
	m.seconds.Observe(took.Seconds())
}
