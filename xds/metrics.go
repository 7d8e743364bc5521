package xds

import "github.com/prometheus/client_golang/prometheus"

// metrics are the server's counters.
type metrics struct {
	builds, encodes, sentBytes *prometheus.CounterVec
	pushes, panics             prometheus.Counter
	responses, nacks           *prometheus.CounterVec
	unknown, rejected          *prometheus.CounterVec
	delayed                    prometheus.Counter
	streams, holds, scopes     prometheus.Gauge
	acks                       *prometheus.HistogramVec
}

// newMetrics registers the counters.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		builds:    counters("builds_total", "Resources built from the mesh, by type.", "type"),
		encodes:   counters("encodes_total", "Resources encoded, by type. One resource is encoded once for all proxies.", "type"),
		sentBytes: counters("sent_bytes_total", "Bytes of responses handed to streams, by type.", "type"),
		pushes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "ensign_xds_pushes_total", Help: "Snapshots of the mesh that were taken over."}),
		panics:    prometheus.NewCounter(prometheus.CounterOpts{Name: "ensign_xds_build_panics_total", Help: "Parts of the configuration that could not be built because of a fault in Ensign; what was in force stays."}),
		responses: counters("responses_total", "Responses sent, by type.", "type"),
		nacks:     counters("nacks_total", "Responses that a client refused, by type.", "type"),
		unknown:   counters("unknown_type_requests_total", "Requests for types that are not served, answered empty.", "type"),
		rejected:  counters("rejected_requests_total", "Streams ended because of what their client asked or is, by reason.", "reason"),
		delayed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "ensign_xds_delayed_requests_total", Help: "Requests that were read later because their client asks too often."}),
		streams:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "ensign_xds_streams", Help: "Open discovery streams."}),
		holds:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "ensign_xds_holds", Help: "Resources held back from an Envoy version because two identities refused them."}),
		scopes:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "ensign_xds_scopes", Help: "Outbound scopes kept built."}),
		acks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ensign_xds_ack_seconds", Help: "From sending a response to its acknowledgement, by type.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 15},
		}, []string{"type"}),
	}
	for _, t := range types { // so that they say 0 before they say anything
		for _, vec := range []*prometheus.CounterVec{m.builds, m.encodes, m.sentBytes, m.responses, m.nacks} {
			vec.WithLabelValues(t.label)
		}
	}
	reg.MustRegister(m.builds, m.encodes, m.sentBytes, m.pushes, m.panics, m.responses, m.nacks, m.unknown,
		m.rejected, m.delayed, m.streams, m.holds, m.scopes, m.acks)
	return m
}

func counters(name, help, label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ensign_xds_" + name, Help: help}, []string{label})
}
