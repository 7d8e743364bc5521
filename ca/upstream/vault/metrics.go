package vault

import "github.com/prometheus/client_golang/prometheus"

// metrics are ensign_upstream_requests_total{outcome} and
// ensign_upstream_token_expiry_timestamp_seconds, of the daily token.
type metrics struct {
	requests *prometheus.CounterVec
	expiry   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_upstream_requests_total",
			Help: "Requests to the upstream that holds the root, logins included, by outcome: ok, or why not. A well-formed answer that is refused counts as ok and as bad_answer or other_root.",
		}, []string{"outcome"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_upstream_token_expiry_timestamp_seconds",
			Help: "When the token for the upstream ends unless it is renewed, in seconds since 1970; 0 while there is none, +Inf if it has no end.",
		}),
	}
	for _, o := range outcomes {
		m.requests.WithLabelValues(o.name)
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.expiry)
	}
	return m
}

// ofRotation counts its requests too, and shows no token: it has one only now and then.
func (m metrics) ofRotation() metrics {
	m.expiry = prometheus.NewGauge(prometheus.GaugeOpts{})
	return m
}
