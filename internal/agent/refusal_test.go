package agent

import (
	"context"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/sds"
)

// TestARefusedSVIDIsRenewedByTheToken: a control plane whose ledger was restored
// from before this SVID does not know it. The agent is back at once, not at half of
// the SVID's life; either of its streams is enough to notice.
func TestARefusedSVIDIsRenewedByTheToken(t *testing.T) {
	for _, rpc := range []string{"ads", "reports"} {
		t.Run(rpc, func(t *testing.T) {
			control := newControlPlane(t)
			control.set(func() { control.refusing = []string{rpc} })
			config := control.config(t)
			startAgent(t, config)
			eventually(t, "the agent is ready", func() bool { return ready(config) })
			control.set(func() { control.forgotten = control.leaves[0].SerialNumber.Text(16) })
			control.server.Stop()
			control.serve(control.address)
			client := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock"))
			eventually(t, "the agent shows another SVID", func() bool {
				// As Envoy does, again and again.
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if stream, err := client.DeltaAggregatedResources(ctx); err == nil {
					stream.Recv()
				}
				control.mu.Lock()
				defer control.mu.Unlock()
				n := len(control.streams)
				return n > 0 && control.streams[n-1].serial != control.forgotten
			})
			control.set(func() {
				if len(control.proofs) != 3 || control.proofs[1].serial != control.forgotten || control.proofs[2].token != "Bearer "+testToken {
					t.Errorf("proofs %+v, want the token, the forgotten SVID, the token", control.proofs)
				}
			})
		})
	}
}

func TestWhichEndsOfAStreamAreRefusals(t *testing.T) {
	heard := 0
	u := &upstream{refused: func(*sds.SVID) { heard++ }}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		heard = 0
		u.note(&session{}, status.Error(code, "it ended"))
		if want := code == codes.Unauthenticated || code == codes.PermissionDenied; (heard == 1) != want {
			t.Errorf("%s: heard %d times", code, heard)
		}
	}
	heard = 0
	if u.note(&session{}, errMoving); heard != 0 {
		t.Error("moving to the next SVID is a refusal")
	}
}

// Envoy waits longer with each refusal of its stream, so it hears of one when there
// is another SVID to come back with.
func TestEnvoyHearsOfARefusalWhenThereIsAnotherSVID(t *testing.T) {
	control := newControlPlane(t)
	control.set(func() { control.refusing = []string{"ads"} })
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	control.set(func() { control.forgotten = control.leaves[0].SerialNumber.Text(16) })
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("it ends with %v", err)
	}
	control.set(func() {
		if len(control.leaves) != 2 {
			t.Errorf("%d SVIDs when Envoy hears of it, want the second", len(control.leaves))
		}
	})
}
