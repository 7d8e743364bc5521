package edge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
)

// roll is who is cut off, by serial.
type roll struct {
	mu      sync.Mutex
	cut     map[string]bool
	changed chan struct{}
}

func newRoll() *roll { return &roll{cut: map[string]bool{}, changed: make(chan struct{})} }

func (r *roll) Proof(caller identity.Caller) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut[caller.Serial] {
		return fmt.Errorf("%w: serial %s", identity.ErrRevoked, caller.Serial)
	}
	return nil
}

func (r *roll) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *roll) revoke(serial string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut[serial] = true
	close(r.changed)
	r.changed = make(chan struct{})
}

// bearer authenticates by what the context says: the serial of the test's stream.
type bearer struct{}

type serialKey struct{}

func (bearer) Authenticate(ctx context.Context, _ identity.Credentials) (identity.Caller, error) {
	serial, _ := ctx.Value(serialKey{}).(string)
	return identity.Caller{Serial: serial, Expires: time.Now().Add(time.Hour)}, nil
}

// rolled is a gate in front of a handler that lasts as long as it may.
func rolled(t *testing.T) (*Gate, *roll, func(serial string) <-chan error) {
	r := newRoll()
	gate := NewGate(bearer{}, r, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	return gate, r, func(serial string) <-chan error {
		ended := make(chan error, 1)
		go func() {
			stream := silent{ctx: context.WithValue(t.Context(), serialKey{}, serial)}
			ended <- gate.Stream(nil, stream, &grpc.StreamServerInfo{}, func(_ any, stream grpc.ServerStream) error {
				<-stream.Context().Done()
				return io.EOF
			})
		}()
		return ended
	}
}

func TestAStreamEndsWhenItsCallerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, r, open := rolled(t)
		go gate.Run(t.Context())
		thief, neighbour := open("1f"), open("2f")
		synctest.Wait()
		begun := time.Now()
		r.revoke("1f")
		if err := <-thief; status.Code(err) == codes.OK || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		r.revoke("3f")
		synctest.Wait()
		select {
		case err := <-neighbour:
			t.Errorf("the neighbour's stream ended: %v", err)
		default:
		}
		if open := len(gate.passages.all()); open != 1 {
			t.Errorf("%d streams are counted as open, want 1", open)
		}
	})
}

func TestWhoeverIsCutOffAlreadyReachesNoHandler(t *testing.T) {
	gate, r, open := rolled(t)
	r.revoke("1f")
	if err := <-open("1f"); status.Code(err) == codes.OK {
		t.Errorf("%v", err)
	}
	if n := testutil.CollectAndCount(gate.refused); n != 1 || len(gate.passages.all()) != 0 {
		t.Errorf("%d refusals counted, %d streams open", n, len(gate.passages.all()))
	}
}

// TestNobodySlipsThroughBetweenTwoLists opens streams while their callers are cut
// off: each ends, whether it was let in before the act or after it.
func TestNobodySlipsThroughBetweenTwoLists(t *testing.T) {
	gate, r, open := rolled(t)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- gate.Run(ctx) }()
	for n := range 200 {
		serial := fmt.Sprint(n)
		ended := open(serial)
		r.revoke(serial)
		select {
		case err := <-ended:
			if status.Code(err) == codes.OK {
				t.Fatalf("stream %d: %v", n, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("stream %d outlives the act", n)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
