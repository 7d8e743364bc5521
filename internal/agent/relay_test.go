package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

type deltaServer = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer

// socket connects to one of an agent's sockets.
func socket(t testing.TB, config Config, name string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+name, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return net.Dial("unix", filepath.Join(config.RunDir, name))
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxDownMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// relayed is an agent without Envoy that has its SVID, and a delta stream through it.
func relayed(t testing.TB, control *controlPlane, config Config) discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	t.Helper()
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer of-a-neighbour")
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestTheRelayPassesMessagesBothWays(t *testing.T) {
	control := newControlPlane(t)
	large := &anypb.Any{TypeUrl: typeCluster, Value: make([]byte, 9<<20)}
	control.ads = func(stream deltaServer) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			response := &discoveryv3.DeltaDiscoveryResponse{Nonce: request.GetNode().GetId(), Resources: []*discoveryv3.Resource{{Resource: large}}}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
	stream := relayed(t, control, control.config(t))
	for i := range 3 {
		id := fmt.Sprintf("%d-%s", i, strings.Repeat("n", i*100_000))
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: id}}); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.GetNonce() != id || len(response.GetResources()[0].GetResource().GetValue()) != len(large.GetValue()) {
			t.Fatalf("message %d came back changed", i)
		}
	}
	control.set(func() {
		shown := control.streams[0]
		if shown.serial != control.leaves[0].SerialNumber.Text(16) || shown.token != "" {
			t.Errorf("the stream was proven by %+v, want the SVID alone", shown)
		}
	})
}

func TestTheRelayTakesADSOnly(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	relayed(t, control, config)
	stream, err := clusterservice.NewClusterDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaClusters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v, want Unimplemented", err)
	}
	if _, text := get("http://" + config.Metrics + "/metrics"); !strings.Contains(text, `ensign_agent_relay_streams_total{result="refused"} 1`) {
		t.Errorf("the refusal was not counted")
	}
}

// ended is the status with which a stream ends.
func ended(t testing.TB, receive func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		for {
			if err := receive(); err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the stream does not end")
		return nil
	}
}

// Envoy tries again after Unavailable, and then it works again.
func TestALostControlPlaneEndsTheStream(t *testing.T) {
	control := newControlPlane(t)
	opened := make(chan bool, 10)
	control.ads = func(stream deltaServer) error {
		opened <- true
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	config := control.config(t)
	stream := relayed(t, control, config)
	<-opened
	control.server.Stop()
	if err := ended(t, func() error { _, err := stream.Recv(); return err }); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	control.serve(control.address)
	eventually(t, "a new stream is relayed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaAggregatedResources(ctx); err != nil {
			return false
		}
		select {
		case <-opened:
			return true
		case <-ctx.Done():
			return false
		}
	})
}

func TestTheControlPlanesRefusalReachesEnvoy(t *testing.T) {
	control := newControlPlane(t)
	control.ads = func(deltaServer) error { return status.Error(codes.PermissionDenied, "not your pod") }
	stream := relayed(t, control, control.config(t))
	err := ended(t, func() error { _, err := stream.Recv(); return err })
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "not your pod") {
		t.Errorf("%v, want the control plane's own", err)
	}
}

func TestWithoutAnSVIDEnvoyIsToldToTryAgain(t *testing.T) {
	control := newControlPlane(t)
	control.refuse = status.Error(codes.Unauthenticated, "who are you")
	config := control.config(t)
	startAgent(t, config)
	client := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock"))
	eventually(t, "the relay says Unavailable", func() bool {
		stream, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			return false
		}
		_, err = stream.Recv()
		return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "no live SVID")
	})
	if ready(config) {
		t.Error("ready without an SVID")
	}
}

// A client that does not read must stop the control plane from sending, not fill
// the agent's memory.
func TestASlowEnvoySlowsTheControlPlane(t *testing.T) {
	control := newControlPlane(t)
	var sent atomic.Int64
	chunk := &anypb.Any{TypeUrl: typeCluster, Value: make([]byte, 64<<10)}
	control.ads = func(stream deltaServer) error {
		for {
			if err := stream.Send(&discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{{Resource: chunk}}}); err != nil {
				return err
			}
			sent.Add(1)
		}
	}
	stream := relayed(t, control, control.config(t))
	stalled := int64(-1)
	eventually(t, "the control plane is held back", func() bool {
		before := sent.Load()
		time.Sleep(300 * time.Millisecond)
		stalled = sent.Load()
		return stalled > 0 && stalled == before
	})
	if stalled > 256 {
		t.Errorf("%d messages of 64 KiB are on the way to nobody", stalled)
	}
	for range 100 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the control plane goes on", func() bool { return sent.Load() > stalled })
}

// The same upwards: a control plane that does not read stops Envoy.
func TestASlowControlPlaneSlowsEnvoy(t *testing.T) {
	control := newControlPlane(t)
	control.ads = func(stream deltaServer) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	stream := relayed(t, control, control.config(t))
	var sent atomic.Int64
	go func() {
		request := &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: strings.Repeat("n", 64<<10)}}
		for stream.Send(request) == nil {
			sent.Add(1)
		}
	}()
	stalled := int64(-1)
	eventually(t, "Envoy is held back", func() bool {
		before := sent.Load()
		time.Sleep(300 * time.Millisecond)
		stalled = sent.Load()
		return stalled > 0 && stalled == before
	})
	if stalled > 256 {
		t.Errorf("%d messages of 64 KiB are on the way to nobody", stalled)
	}
}

// The control plane ends a stream with its proof; the agent moves it before.
func TestStreamsMoveToTheRenewedSVID(t *testing.T) {
	control := newControlPlane(t)
	control.ttl = 6 * time.Second
	config := control.config(t)
	stream := relayed(t, control, config)
	err := ended(t, func() error { _, err := stream.Recv(); return err })
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "renewed SVID") {
		t.Errorf("%v, want Unavailable for the renewed SVID", err)
	}
	control.set(func() {
		if len(control.leaves) < 2 || !time.Now().Before(control.leaves[0].NotAfter) {
			t.Errorf("moved after the proof ended, or without a renewal (%d leaves)", len(control.leaves))
		}
	})
	next, err := discoveryv3.NewAggregatedDiscoveryServiceClient(socket(t, config, "xds.sock")).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Send(&discoveryv3.DeltaDiscoveryRequest{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next stream shows a later SVID", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		last := control.streams[len(control.streams)-1].serial
		return len(control.streams) > 1 && last != control.leaves[0].SerialNumber.Text(16)
	})
}

func TestEnvoyIsToldToTryAgain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{nil, codes.Unavailable},
		{errors.New("broken"), codes.Unavailable},
		{context.Canceled, codes.Unavailable},
		{status.Error(codes.Canceled, "the client connection is closing"), codes.Unavailable},
		{status.Error(codes.InvalidArgument, "node"), codes.InvalidArgument},
	} {
		if got := status.Code(unavailable(c.err)); got != c.want {
			t.Errorf("%v becomes %s, want %s", c.err, got, c.want)
		}
	}
}
