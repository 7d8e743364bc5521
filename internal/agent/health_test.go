package agent

import (
	"net/http"
	"net/http/httptest"
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

func TestTooManyScrapesAreTurnedAway(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	server := httptest.NewServer(atMost(1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- true; <-release })))
	defer server.Close()
	first := make(chan int)
	go func() { code, _ := get(server.URL); first <- code }()
	<-inside
	if code, _ := get(server.URL); code != http.StatusTooManyRequests {
		t.Errorf("the second got %d, want 429", code)
	}
	close(release)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first got %d", code)
	}
}
