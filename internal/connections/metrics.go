package connections

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections, open prometheus.Gauge
	cut               *prometheus.CounterVec
	records           map[string]prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	records := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ensign_agent_log_records_total", Help: "Records of Envoy's access log, by result (new, known, late, plain, malformed, over_limit, unreadable).",
	}, []string{"result"})
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_connections", Help: "Connections of Envoy's whose peer is known, as of the last sweep.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_connections_to_cut", Help: "Connections that are to end and have not yet.",
		}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_connections_cut_total", Help: "Connections of cut-off peers that have ended, by method (pidfd, sock_destroy, drain).",
		}, []string{"method"}),
		records: map[string]prometheus.Counter{},
	}
	for _, result := range []string{recordNew, recordKnown, recordLate, recordPlain, recordMalformed, recordOver, recordUnread} {
		m.records[result] = records.WithLabelValues(result)
	}
	registerer.MustRegister(m.connections, m.open, m.cut, records)
	return m
}
