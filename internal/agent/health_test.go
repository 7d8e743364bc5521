package agent

import (
	"net/http"
	"strings"
	"testing"
)

func TestHealthAndMetrics(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	for path, want := range map[string]int{"/": http.StatusNotFound, "/healthz/ready": http.StatusOK, "/debug/pprof/": http.StatusNotFound} {
		if code, _ := get("http://" + config.Health + path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	_, text := get("http://" + config.Metrics + "/metrics")
	for _, want := range []string{
		`ensign_agent_svid_attempts_total{result="ok"} 1`, "ensign_agent_svid_expiry_timestamp_seconds", "ensign_agent_relay_streams 0",
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if code, _ := get("http://" + config.Metrics + "/stats/prometheus"); code != http.StatusBadGateway {
		t.Errorf("/stats/prometheus without Envoy: %d, want 502", code)
	}
}
