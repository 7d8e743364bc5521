package agent

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// succession is a mesh whose root is replaced.
type succession struct {
	t       testing.TB
	control *controlPlane
	address string
	// Each trusts both roots, as callers do while the new one is brought in.
	old, new *sdstest.Authority
	// Callers of each.
	oldClient, newClient tls.Certificate
}

func newSuccession(t testing.TB, control *controlPlane, address string) *succession {
	old, new := *control.authority, *sdstest.Named(t, "Ensign root new")
	old.Also, new.Also = []*x509.Certificate{new.Root}, []*x509.Certificate{old.Root}
	caller := func(a *sdstest.Authority) tls.Certificate {
		return a.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/caller", time.Hour))
	}
	return &succession{t: t, control: control, address: address, old: &old, new: &new, oldClient: caller(&old), newClient: caller(&new)}
}

// push tells of roots, and waits until Envoy has acknowledged them and is said to.
func (s *succession) push(trust *ensignv1.Trust, of ...*sdstest.Authority) *ensignv1.Report {
	s.t.Helper()
	s.control.tells(trust)
	began := time.Now()
	report := next(s.t, "report of the bundle", s.control.reports, func(r *ensignv1.Report) bool {
		return r.GetAcknowledged().GetBundle() == hashOf(of...)
	})
	s.t.Logf("roots of sequence %d are acknowledged and reported after %s", trust.GetSequence(), time.Since(began))
	if report.GetTrustSequence() != trust.GetSequence() || report.GetTrustError() != "" || report.GetSecretError() != "" {
		s.t.Errorf("%v", report)
	}
	return report
}

// move has the agent renew under the new root, and waits until Envoy shows that SVID.
func (s *succession) move() *ensignv1.Report {
	s.t.Helper()
	s.control.signs(s.new, s.old)
	window := word(2, s.old, s.new)
	window.RenewWithin = durationpb.New(500 * time.Millisecond)
	s.control.tells(window)
	return next(s.t, "report of an SVID under the new root", s.control.reports, func(r *ensignv1.Report) bool {
		s.control.mu.Lock()
		defer s.control.mu.Unlock()
		return len(s.control.leaves) == 2 && r.GetAcknowledged().GetSerial() == s.control.leaves[1].SerialNumber.Text(16) &&
			slices.Equal(r.GetServedFingerprints(), []string{r.GetAcknowledged().GetFingerprint()})
	})
}

func (s *succession) mustPass(client tls.Certificate, when string) {
	s.t.Helper()
	if _, err := hello(s.old, client, s.address); err != nil {
		s.t.Errorf("%s: %v", when, err)
	}
}

func (s *succession) mustFail(client tls.Certificate, when string) {
	s.t.Helper()
	if _, err := hello(s.old, client, s.address); err == nil {
		s.t.Errorf("%s: the caller was let in", when)
	}
}

// adsStreams is how many there were so far.
func (s *succession) adsStreams() (n int) {
	s.control.set(func() { n = len(s.control.streams) })
	return n
}

// TestTheRootIsReplacedUnderLoad: both roots, the new SVID, the new root alone. Calls on
// fresh connections and on one that stays open lose nothing; a push of roots changes
// neither the SVID nor the ADS stream; what Envoy lets in follows each step.
func TestTheRootIsReplacedUnderLoad(t *testing.T) {
	control, config, address := withEnvoy(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	s := newSuccession(t, control, address)
	first := next(t, "report of the SVID", control.reports, func(r *ensignv1.Report) bool { return r.GetAcknowledged().GetBundle() != "" })
	if first.GetAcknowledged().GetBundle() != hashOf(s.old) {
		t.Fatalf("%v", first)
	}
	oldLoad, streams := startTrafficUnder(t, s.old, address), s.adsStreams()
	s.mustFail(s.newClient, "before its root is there")

	both := s.push(word(1, s.new, s.old), s.old, s.new)
	if both.GetAcknowledged().GetSerial() != first.GetAcknowledged().GetSerial() || s.adsStreams() != streams {
		t.Errorf("a push of roots changed more: %v, %d ADS streams", both, s.adsStreams())
	}
	newLoad := startTrafficUnder(t, s.new, address)

	moved := s.move()
	onlyNew := *s.new
	onlyNew.Also = nil
	if leaf, err := hello(&onlyNew, s.newClient, address); err != nil || leaf.SerialNumber.Text(16) != moved.GetAcknowledged().GetSerial() {
		t.Errorf("the SVID does not lead to the new root alone: %v", err)
	}
	s.mustPass(s.oldClient, "while both roots are trusted")
	oldLoad.end(t)

	streams = s.adsStreams()
	last := s.push(word(3, s.new), s.new)
	if last.GetAcknowledged().GetSerial() != moved.GetAcknowledged().GetSerial() || s.adsStreams() != streams {
		t.Errorf("a push of roots changed more: %v, %d ADS streams", last, s.adsStreams())
	}
	s.mustFail(s.oldClient, "after its root was retired")

	s.push(word(4, s.old, s.new), s.old, s.new) // as a rollback begins
	s.mustPass(s.oldClient, "when its root is back")
	newLoad.end(t)
	control.set(func() {
		if len(control.leaves) != 2 {
			t.Errorf("%d SVIDs were asked for", len(control.leaves))
		}
	})
}

// TestAKilledAgentKeepsTheRoots: it is killed when the old root has gone and starts
// again while the control plane is away, with the old root in its bundle file still.
func TestAKilledAgentKeepsTheRoots(t *testing.T) {
	control, config, address := withEnvoy(t)
	var logs logBuffer
	cmd := startBinary(t, config, &logs)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	pid := recorded(config)
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	s := newSuccession(t, control, address)
	s.push(word(1, s.new, s.old), s.old, s.new)
	s.move()
	s.push(word(3, s.new), s.new)
	load := startTrafficUnder(t, s.new, address)
	cmd.Process.Kill()
	cmd.Wait()
	control.server.Stop()
	s.mustFail(s.oldClient, "with nobody beside Envoy")
	startAgent(t, config)
	time.Sleep(time.Second)
	s.mustFail(s.oldClient, "with the next agent, alone")
	s.mustPass(s.newClient, "with the next agent, alone")
	control.signs(s.new)
	control.serve(control.address)
	eventually(t, "the next agent is ready", func() bool { return ready(config) })
	s.mustFail(s.oldClient, "with the next agent")
	load.end(t)
	if recorded(config) != pid {
		t.Error("Envoy was started again")
	}
}

// TestRootsThatEnvoyRefuses are not reported as taken: Envoy has the ones before, and
// its reason is told. Its callers notice nothing.
func TestRootsThatEnvoyRefuses(t *testing.T) {
	control, config, address := withEnvoy(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	s := newSuccession(t, control, address)
	load := startTrafficUnder(t, s.old, address)
	odd := word(1, s.new, s.old)
	odd.Roots[0] = twisted(t, s.new.Root.Raw)
	control.says <- trustOf(odd)
	report := next(t, "report of the refusal", control.reports, func(r *ensignv1.Report) bool { return r.GetSecretError() != "" })
	if !strings.HasPrefix(report.GetSecretError(), "ROOTCA: ") || report.GetAcknowledged().GetBundle() != hashOf(s.old) {
		t.Errorf("%v", report)
	}
	s.push(word(2, s.new, s.old), s.old, s.new)
	s.mustPass(s.newClient, "with roots that Envoy reads")
	load.end(t)
}
