package agent

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// traffic calls the listener again and again, on new connections, and on one that
// it keeps; it counts what failed.
type traffic struct {
	failed, passed atomic.Int64
	last           atomic.Value // the last failure
	stop           chan struct{}
	done           sync.WaitGroup
}

func startTraffic(t testing.TB, control *controlPlane, address string) *traffic {
	t.Helper()
	return startTrafficUnder(t, control.authority, address)
}

// startTrafficUnder is startTraffic of a caller of an authority, which trusts its roots.
func startTrafficUnder(t testing.TB, authority *sdstest.Authority, address string) *traffic {
	t.Helper()
	client := authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/caller", time.Hour))
	kept, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{client}, InsecureSkipVerify: true}) // hello verifies
	if err != nil {
		t.Fatal(err)
	}
	f := &traffic{stop: make(chan struct{})}
	f.repeat(func() error { _, err := hello(authority, client, address); return err })
	f.repeat(func() error {
		if _, err := io.WriteString(kept, "hello"); err != nil {
			return err
		}
		kept.SetReadDeadline(time.Now().Add(callWithin))
		_, err := io.ReadFull(kept, make([]byte, len("hello")))
		return err
	})
	t.Cleanup(func() { kept.Close() })
	return f
}

func (f *traffic) repeat(call func() error) {
	f.done.Go(func() {
		for {
			select {
			case <-f.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if err := call(); err != nil {
				f.failed.Add(1)
				f.last.Store(err.Error())
			} else {
				f.passed.Add(1)
			}
		}
	})
}

// more waits until so many more calls have passed, or one has failed.
func (f *traffic) more(t testing.TB, n int64) {
	t.Helper()
	n += f.passed.Load()
	eventually(t, "more calls pass", func() bool { return f.passed.Load() >= n || f.failed.Load() > 0 })
}

// end checks that all went well, and still does.
func (f *traffic) end(t testing.TB) {
	t.Helper()
	f.more(t, 20)
	close(f.stop)
	f.done.Wait()
	if f.failed.Load() > 0 {
		t.Errorf("%d calls passed, %d failed, the last with %v", f.passed.Load(), f.failed.Load(), f.last.Load())
	}
}

// TestRenewalUnderLoad: an SVID is renewed several times and no call fails; what
// is reported follows what Envoy shows.
func TestRenewalUnderLoad(t *testing.T) {
	control, config, address := withEnvoy(t)
	control.ttl = 6 * time.Second
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	load := startTraffic(t, control, address)
	shown := map[string]bool{}
	for len(shown) < 4 {
		report := next(t, "report of another certificate that Envoy shows", control.reports, func(r *ensignv1.Report) bool {
			serial := r.GetAcknowledged().GetSerial()
			return serial != "" && !shown[serial] && slices.Equal(r.GetServedFingerprints(), []string{r.GetAcknowledged().GetFingerprint()})
		})
		shown[report.GetAcknowledged().GetSerial()] = true
		if report.GetSecretError() != "" {
			t.Errorf("%v", report)
		}
	}
	load.end(t)
}

// TestTrafficOutlivesAKilledAgent: the agent is killed with no chance to clean up,
// the next one takes the same Envoy over, and gives it a new SVID; no call fails.
func TestTrafficOutlivesAKilledAgent(t *testing.T) {
	control, config, address := withEnvoy(t)
	var logs logBuffer
	cmd := startBinary(t, config, &logs)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	pid := recorded(config)
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	load := startTraffic(t, control, address)
	load.more(t, 50)
	cmd.Process.Kill()
	cmd.Wait()
	load.more(t, 50)

	agent := startAgent(t, config)
	report := next(t, "report of the next SVID", control.reports, func(r *ensignv1.Report) bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.leaves) == 2 && r.GetAcknowledged().GetSerial() == control.leaves[1].SerialNumber.Text(16) &&
			slices.Equal(r.GetServedFingerprints(), []string{r.GetAcknowledged().GetFingerprint()})
	})
	eventually(t, "the next agent is ready", func() bool { return ready(config) })
	load.end(t)
	if recorded(config) != pid || report.GetEnvoyVersion() == "" {
		t.Errorf("Envoy is %d now, was %d; report %v", recorded(config), pid, report)
	}
	noKey(t, "the log", logs.String())
	agent.wait(t)
	if alive(pid) {
		t.Error("the adopted Envoy goes on")
	}
}

// TestDrainLetsCallsEnd: after SIGTERM a call on an open connection still passes,
// and Envoy ends by itself.
func TestDrainLetsCallsEnd(t *testing.T) {
	control, config, address := withEnvoy(t)
	config.Drain = 4 * time.Second
	agent := startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	load := startTraffic(t, control, address)
	load.more(t, 50)
	agent.stop()
	time.Sleep(400 * time.Millisecond)
	load.end(t)
	agent.wait(t)
	if agent.code != 0 || agent.err != nil {
		t.Errorf("ended with %d, %v", agent.code, agent.err)
	}
	left, _ := filepath.Glob(filepath.Join(config.RunDir, "*"))
	for _, path := range left {
		if strings.HasSuffix(path, ".sock") || strings.HasSuffix(path, ".pid") {
			t.Errorf("left behind: %s", path)
		}
	}
}

// Envoy's own statistics pass through; its admin port itself does not.
func TestEnvoysStatistics(t *testing.T) {
	control, config, _ := withEnvoy(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	if code, text := get("http://" + config.Metrics + "/stats/prometheus"); code != 200 || !strings.Contains(text, "envoy_server_live") {
		t.Errorf("%d: %.200s", code, text)
	}
	if page := ask(t, control, ensignv1.EnvoyPage_ENVOY_PAGE_STATS); !strings.Contains(page, "server.live: 1") {
		t.Errorf("stats: %.200s", page)
	}
	if page := ask(t, control, ensignv1.EnvoyPage_ENVOY_PAGE_CERTS); !strings.Contains(page, testID) {
		t.Errorf("certs: %s", page)
	}
	if page := ask(t, control, ensignv1.EnvoyPage_ENVOY_PAGE_SERVER_INFO); !strings.Contains(page, "sidecar~127.0.0.1~reviews-v1.shop") {
		t.Errorf("server_info: %.200s", page)
	}
}

// Readiness needs Envoy's word: a listener that never comes means not ready.
func TestNotReadyBeforeEnvoyIsLive(t *testing.T) {
	control, config, _ := withEnvoy(t)
	control.ads = nil // opens the stream and says nothing
	startAgent(t, config)
	eventually(t, "Envoy answers", func() bool { code, _ := get("http://" + config.EnvoyAdmin + "/ready"); return code == 503 })
	time.Sleep(500 * time.Millisecond)
	if ready(config) {
		t.Error("ready without a listener")
	}
	if _, err := os.Stat(filepath.Join(config.RunDir, "envoy.pid")); err != nil {
		t.Error(err)
	}
}

// Right after its start Envoy has no socket yet; the way to end its connections is
// found all the same, and it is the best one.
func TestTheMethodOfAYoungEnvoy(t *testing.T) {
	if !mayCopy() {
		t.Skip("this machine does not let us copy descriptors")
	}
	control, config, _ := withEnvoy(t)
	control.cutOff = &ensignv1.CutOff{Revision: 3}
	startAgent(t, config)
	next(t, "report that a cut off is obeyed", control.reports, func(r *ensignv1.Report) bool {
		return r.GetObedience().GetRevision() == 3 && r.GetObedience().GetMethod() == ensignv1.CutMethod_CUT_METHOD_PIDFD
	})
}
