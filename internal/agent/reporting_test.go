package agent

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/connections"
	"github.com/ensign-mesh/ensign/sds"
)

// heard is a stream of which the test reads the other end.
type heard struct {
	ensignv1.AgentService_ConnectClient
	messages chan *ensignv1.ConnectRequest
}

func newHeard() heard { return heard{messages: make(chan *ensignv1.ConnectRequest, 100)} }

func (h heard) Send(message *ensignv1.ConnectRequest) error {
	h.messages <- message
	return nil
}

// reporterOf is a reporter of what parts and a follower say.
func reporterOf(t *testing.T, p *parts, f *follower) *reporter {
	counts := newMetrics(prometheus.NewRegistry())
	return &reporter{
		secrets: p.Acknowledged, follower: f, metrics: counts, logger: testLogger(t),
		problems: func() (sds.Problems, <-chan struct{}) { return sds.Problems{}, nil },
		memory:   openMemory(t.TempDir()+"/ledger.checkpoint", counts, testLogger(t)),
		trustee:  newTrustee(obedient{}),
	}
}

// obedient follows whatever it is told.
type obedient struct{}

func (obedient) Follow(sds.Trust) error { return nil }
func (obedient) Renew()                 {}
func (obedient) Keep()                  {}

// TestATrustThatChangesNothingIsReported: a gate waits for a report that names its step,
// also where Envoy has the bundle already. The same word again is no news.
func TestATrustThatChangesNothingIsReported(t *testing.T) {
	p := newParts()
	follow(t, t.TempDir(), p, func(f *follower, _ *logBuffer) {
		stream, r := newHeard(), reporterOf(t, p, f)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 2)
		go func() { ended <- r.newReporting(&uplink{stream: stream}, nil, nil, nil).run(ctx) }()
		go func() { ended <- r.trustee.run(ctx) }()
		<-stream.messages
		for sequence := range uint64(3) {
			r.trustee.take(&ensignv1.Trust{Sequence: sequence + 1}, false)
			told := time.Now()
			<-stream.messages
			if took := time.Since(told); took > time.Second {
				t.Errorf("reported %s after word %d", took, sequence+1)
			}
			r.trustee.take(&ensignv1.Trust{Sequence: sequence + 1}, true)
			time.Sleep(storedWithin / 2)
			if len(stream.messages) > 0 {
				t.Errorf("reported again, %v", <-stream.messages)
			}
		}
		cancel()
		<-ended
		<-ended
	})
}

// Whoever waits for a cut off hears that it is obeyed within 20 ms.
func TestObedienceIsToldWithin20ms(t *testing.T) {
	dir := t.TempDir()
	p := newParts()
	follow(t, dir, p, func(f *follower, _ *logBuffer) {
		stream, stored := newHeard(), make(chan uint64)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			ended <- reporterOf(t, p, f).newReporting(&uplink{stream: stream}, stored, nil, nil).run(ctx)
		}()
		if first := <-stream.messages; first.GetReport().GetObedience() != nil {
			t.Errorf("%v", first)
		}
		stored <- 1
		for revision := range uint64(5) {
			time.Sleep(3 * time.Second)
			f.take(&ensignv1.CutOff{Revision: revision + 1})
			synctest.Wait()
			for len(stream.messages) > 0 {
				<-stream.messages
			}
			time.Sleep(time.Second)
			p.set(func() { p.state.Revision = revision + 1 })
			changed := time.Now()
			for (<-stream.messages).GetReport().GetObedience().GetRevision() != revision+1 {
			}
			if took := time.Since(changed); took > 20*time.Millisecond {
				t.Errorf("told after %s", took)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// An Envoy whose admin port hangs does not hold up word of obedience.
func TestAHangingEnvoyDelaysNoObedience(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := newParts()
	p.state.Revision = 4
	f := followerIn(t, t.TempDir(), p, &logBuffer{})
	go f.run(t.Context())
	r := reporterOf(t, p, f)
	r.envoy, r.admin = true, newAdminPort(listener.Addr().String())
	stream := newHeard()
	go r.newReporting(&uplink{stream: stream}, nil, nil, nil).run(t.Context())
	time.Sleep(50 * time.Millisecond)
	f.take(&ensignv1.CutOff{Revision: 4})
	asked := time.Now()
	for (<-stream.messages).GetReport().GetObedience().GetRevision() != 4 {
	}
	if took := time.Since(asked); took > adminTimeout/2 {
		t.Errorf("told after %s", took)
	}
}

// Sightings go out at most once a second, in messages of bounded size.
func TestSightingsAreToldSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := make(chan struct{})
		met := make([]connections.Sighting, 2*maxSightings+10)
		met[0] = connections.Sighting{
			Fingerprint: "feed", Serial: "1a", SPIFFEID: testID, IssuerSubject: "CN=i", Inbound: true,
			NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0), SeenAt: time.Unix(3, 0),
		}
		r := &reporter{sightings: func() ([]connections.Sighting, <-chan struct{}) {
			took := met
			met = nil
			return took, more
		}}
		ctx, cancel := context.WithCancel(t.Context())
		stream, began := newHeard(), time.Now()
		go r.tellSightings(ctx, &uplink{stream: stream})
		for i, want := range []int{maxSightings, maxSightings, 10} {
			got := (<-stream.messages).GetSightings().GetSightings()
			if at := time.Since(began); len(got) != want || at != time.Duration(i)*sightingsEvery {
				t.Errorf("%d sightings after %s", len(got), at)
			}
			if s := got[0]; i == 0 && (s.GetFingerprint() != "feed" || s.GetSerial() != "1a" || s.GetSpiffeId() != testID || s.GetIssuerSubject() != "CN=i" ||
				!s.GetInbound() || s.GetNotBefore().GetSeconds() != 1 || s.GetNotAfter().GetSeconds() != 2 || s.GetSeenAt().GetSeconds() != 3) {
				t.Errorf("%v", s)
			}
		}
		synctest.Wait()
		if len(stream.messages) > 0 {
			t.Error("told without anything to tell")
		}
		cancel()
		synctest.Wait()
	})
}
