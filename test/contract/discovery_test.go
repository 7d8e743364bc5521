package contract

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	unknownType  = "type.googleapis.com/istio.networking.nds.v1.NameTable"
)

func node(pod string) *corev3.Node {
	return &corev3.Node{Id: "sidecar~10.0.0.5~" + pod + ".shop~shop.svc.cluster.local"}
}

func (e *ensignd) stream(token string) discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	e.t.Helper()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(e.dial()).DeltaAggregatedResources(with(e.t.Context(), token))
	if err != nil {
		e.t.Fatal(err)
	}
	return stream
}

func TestAnUnknownTypeIsAnsweredEmptyAndTheStreamLives(t *testing.T) {
	e := start(t)
	stream := e.stream(e.token("web", "web-1"))
	for _, request := range []*discovery.DeltaDiscoveryRequest{
		{Node: node("web-1"), TypeUrl: unknownType},
		{TypeUrl: listenerType},
	} {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.TypeUrl != request.TypeUrl || (len(response.Resources) == 0) != (request.TypeUrl == unknownType) {
			t.Errorf("asked for %s, got %d of %s", request.TypeUrl, len(response.Resources), response.TypeUrl)
		}
	}
}

func TestWhatStreamsAreRefused(t *testing.T) {
	e := start(t)
	for _, c := range []struct {
		name, token string
		first       *corev3.Node
		second      *corev3.Node
		want        codes.Code
		reason      string
	}{
		{name: "no proof", first: node("web-1"), want: codes.Unauthenticated},
		{name: "another identity's pod", token: e.token("web", ""), first: node("till-1"), want: codes.PermissionDenied, reason: "till"},
		{name: "another pod than the token's", token: e.token("web", "web-1"), first: node("web-2"), want: codes.PermissionDenied, reason: "web-1"},
		{name: "no node", token: e.token("web", ""), want: codes.InvalidArgument},
		{name: "a node of another form", token: e.token("web", ""), first: &corev3.Node{Id: "router~x"}, want: codes.InvalidArgument, reason: "sidecar~IP~POD.NAMESPACE~DOMAIN"},
		{name: "a node that changes", token: e.token("web", ""), first: node("web-1"), second: node("web-2"), want: codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			stream := e.stream(c.token)
			stream.Send(&discovery.DeltaDiscoveryRequest{Node: c.first, TypeUrl: listenerType})
			_, err := stream.Recv()
			if c.second != nil {
				if err != nil {
					t.Fatal(err)
				}
				stream.Send(&discovery.DeltaDiscoveryRequest{Node: c.second, TypeUrl: unknownType})
				for err == nil {
					_, err = stream.Recv()
				}
			}
			if status.Code(err) != c.want || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %v %q", err, c.want, c.reason)
			}
		})
	}
}

func TestAStreamEndsWithItsProof(t *testing.T) {
	e := start(t)
	stream := e.stream(e.mint("web", "", 2*time.Second))
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: node("web-1"), TypeUrl: unknownType}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || status.Code(err) == codes.OK {
		t.Errorf("the stream goes on: %v", err)
	}
}
