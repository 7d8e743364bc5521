package manifest

import "github.com/prometheus/client_golang/prometheus"

// metrics count what the folder came to.
type metrics struct {
	objects, problems prometheus.Gauge
	loads             *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		objects:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "ensign_manifest_objects", Help: "Objects of the manifests that are in force."}),
		problems: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ensign_manifest_problems", Help: "Problems of the manifests that stand now."}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ensign_manifest_loads_total",
			Help: "Changes of the manifests that were read, by whether something was refused."}, []string{"result"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.objects, m.problems, m.loads} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) note(objects, problems int) {
	m.objects.Set(float64(objects))
	m.problems.Set(float64(problems))
	result := "accepted"
	if problems > 0 {
		result = "refused"
	}
	m.loads.WithLabelValues(result).Inc()
}
