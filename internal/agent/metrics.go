package agent

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	relayStreams *prometheus.CounterVec
	relayOpen    prometheus.Gauge
	relayBytes   *prometheus.CounterVec
	reports      *prometheus.CounterVec
	queries      *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		relayStreams: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_relay_streams_total", Help: "Streams that Envoy opened, by result (relayed, refused, no_svid).",
		}, []string{"result"}),
		relayOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_relay_streams", Help: "ADS streams relayed now.",
		}),
		relayBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_relay_bytes_total", Help: "Bytes of xDS messages relayed, by direction (up, down).",
		}, []string{"direction"}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_reports_total", Help: "Reports to the control plane, by event (sent, stored, failed).",
		}, []string{"event"}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_envoy_queries_total", Help: "Pages of Envoy's admin port asked for, by result (answered, refused).",
		}, []string{"result"}),
	}
	registerer.MustRegister(m.relayStreams, m.relayOpen, m.relayBytes, m.reports, m.queries)
	return m
}
