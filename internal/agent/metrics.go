package agent

import (
	"filippo.io/torchwood"
	"github.com/prometheus/client_golang/prometheus"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

type metrics struct {
	relayStreams *prometheus.CounterVec
	relayOpen    prometheus.Gauge
	relayBytes   *prometheus.CounterVec
	reports      *prometheus.CounterVec
	queries      *prometheus.CounterVec
	cutOffs      *prometheus.GaugeVec
	crls         *prometheus.GaugeVec
	ledgerProofs *prometheus.CounterVec
	ledgerSize   prometheus.Gauge
	ledgerForked prometheus.Gauge
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
		cutOffs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ensign_agent_cut_off_revision", Help: "Revision of who is cut off, as the control plane wants it (wanted) and as live connections follow it (obeyed).",
		}, []string{"state"}),
		crls: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ensign_agent_crl_revision", Help: "Revision of the CRLs, as the control plane wants it (wanted) and as Envoy acknowledged it (obeyed).",
		}, []string{"state"}),
		ledgerProofs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_agent_ledger_proofs_total", Help: "Checkpoints of the ledger that the control plane showed, by result (grown, same, unproven, invalid, fork).",
		}, []string{"result"}),
		ledgerSize: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_ledger_entries", Help: "Entries of the ledger at the newest checkpoint that is proven to grow from the ones before.",
		}),
		ledgerForked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_agent_ledger_forked", Help: "1 once the control plane has shown a ledger that contradicts the one it showed before.",
		}),
	}
	registerer.MustRegister(m.relayStreams, m.relayOpen, m.relayBytes, m.reports, m.queries,
		m.cutOffs, m.crls, m.ledgerProofs, m.ledgerSize, m.ledgerForked)
	return m
}

func (m *metrics) wants(cutOff *ensignv1.CutOff) {
	m.cutOffs.WithLabelValues("wanted").Set(float64(cutOff.GetRevision()))
	m.crls.WithLabelValues("wanted").Set(float64(cutOff.GetCrlRevision()))
}

func (m *metrics) obeys(obedience *ensignv1.Obedience) {
	m.cutOffs.WithLabelValues("obeyed").Set(float64(obedience.GetRevision()))
	m.crls.WithLabelValues("obeyed").Set(float64(obedience.GetCrlRevision()))
}

func (m *metrics) remembers(newest *torchwood.Checkpoint, fork string) {
	if newest != nil {
		m.ledgerSize.Set(float64(newest.N))
	}
	if fork != "" {
		m.ledgerForked.Set(1)
	}
}
