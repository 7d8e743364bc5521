package rotation

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	expiry, steps, instances *prometheus.GaugeVec
	since, paused, problem   prometheus.Gauge
	ended                    *prometheus.CounterVec
	unwell                   prometheus.GaugeFunc
}

// newMetrics shows the root that signs as unwell while healthy says why it is.
func newMetrics(reg prometheus.Registerer, healthy func() error) (*metrics, error) {
	m := &metrics{
		expiry:    gauges("ensign_root_expiry_timestamp_seconds", "When a root that is trusted now, or a CA below it that signs issuers, ends, in Unix time; signing: issuers are signed by it.", "fingerprint", "signing"),
		steps:     gauges("ensign_rotation_step", "1 for the step that the rotation of the root is at; all 0 while none runs.", "step"),
		since:     gauge("ensign_rotation_step_since_timestamp_seconds", "When the step that the rotation is at began, in Unix time; 0 while none runs."),
		paused:    gauge("ensign_rotation_paused", "1 while the rotation of the root is paused."),
		problem:   gauge("ensign_rotation_problem", "1 while the last attempt at what the rotation does now failed."),
		instances: gauges("ensign_rotation_gate_instances", "Instances at the gate that the rotation waits for: ready, laggard (waited for, and reporting), unverifiable (waited for, and not reporting), skipped, gone.", "state"),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ensign_rotation_ended_total",
			Help: "Rotations that ended since the start of the process: completed or rolled-back."}, []string{"outcome"}),
	}
	m.unwell = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ensign_root_unwell", Help: "1 while the root that signs could not certify the next issuer, or sign the next SVID where it signs each, as far as is known.",
	}, func() float64 { return truth(healthy() != nil) })
	m.ended.WithLabelValues(completed)
	m.ended.WithLabelValues(rolledBack)
	m.step(&state{}, &state{})
	m.gate(&look{})
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.expiry, m.steps, m.since, m.paused, m.problem, m.instances, m.ended, m.unwell} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of rotation: %w", err)
		}
	}
	return m, nil
}

// step shows where a state stands after another one.
func (m *metrics) step(old, s *state) {
	r, before := s.running(), old.running()
	for _, step := range []Step{Preparing, Distributing, Activating, Retiring} {
		m.steps.WithLabelValues(string(step)).Set(truth(r != nil && r.step == step))
	}
	m.paused.Set(truth(r != nil && r.paused))
	m.since.Set(0)
	if r != nil {
		m.since.Set(float64(r.since.Unix()))
	} else {
		m.gate(&look{})
	}
	if before != nil && r == nil {
		m.ended.WithLabelValues(s.run.outcome).Inc()
	}
}

// roots shows those that are trusted.
func (m *metrics) roots(s *state) {
	m.expiry.Reset()
	trusted, signing := s.stand()
	for _, a := range trusted {
		m.expiry.WithLabelValues(a.fingerprint, fmt.Sprint(a == signing)).Set(float64(a.notAfter().Unix()))
	}
}

func (m *metrics) gate(l *look) {
	for state, count := range map[string]int{
		"ready": l.ready, "laggard": l.waiting - l.unverifiable, "skipped": l.skipped, "gone": l.gone, "unverifiable": l.unverifiable,
	} {
		m.instances.WithLabelValues(state).Set(float64(count))
	}
}

func (m *metrics) trouble(problem string) { m.problem.Set(truth(problem != "")) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}
