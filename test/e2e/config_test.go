package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// TestEveryEnvoyShowsWhatItWasSent holds Envoy's own config_dump against what
// the control plane sent, on every proxy, once all is acknowledged.
func TestEveryEnvoyShowsWhatItWasSent(t *testing.T) {
	l := mesh(t)
	told(t, l, "proxy", "status", "--check")
	for _, pod := range l.Sidecars() {
		told(t, l, "proxy", "config", pod.Namespace+"/"+pod.Name, "--diff")
	}
}

// told asks until the answer holds: a change may be under way.
func told(t *testing.T, l *lab.Lab, args ...string) lab.Result {
	t.Helper()
	for deadline := time.Now().Add(settled); ; time.Sleep(200 * time.Millisecond) {
		r := l.Ensign(t.Context(), args...)
		if r.Code == 0 {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s\n%s", r.Line, r.Output)
		}
	}
}

// TestNoPrivateKeyLeavesItsPod looks for one wherever a person could.
func TestNoPrivateKeyLeavesItsPod(t *testing.T) {
	l := mesh(t)
	pod := l.Sidecars()[0]
	r := told(t, l, "proxy", "config", pod.Namespace+"/"+pod.Name, "secrets", "-o", "json")
	var config map[string]map[string]any
	if err := json.Unmarshal([]byte(r.Output), &config); err != nil || len(config["secrets"]) != 2 {
		t.Fatalf("%v: %s", err, r.Output)
	}
	if strings.Contains(r.Output, "PRIVATE KEY") {
		t.Error("a private key came through the admin API")
	}
}
