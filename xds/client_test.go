package xds

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type (
	deltaRequest    = discoveryv3.DeltaDiscoveryRequest
	deltaResponse   = discoveryv3.DeltaDiscoveryResponse
	resourceMessage = discoveryv3.Resource
)

// envoy is a delta client, driven by hand.
type envoy struct {
	t         testing.TB
	node      *corev3.Node
	stream    discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	responses chan *deltaResponse
	ended     chan error
}

// epoch is some moment.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// nodeOf is the node of a pod, as Envoy 1.40 sends it.
func nodeOf(ns, pod string) *corev3.Node {
	return &corev3.Node{
		Id: "sidecar~10.0.0.1~" + pod + "." + ns + "~" + ns + ".svc.cluster.local", UserAgentName: "envoy",
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40}}},
	}
}

// connect opens a delta stream as an account; more metadata in pairs.
func (w *world) connect(ns, sa, pod string, more ...string) *envoy {
	return w.open(ns, pod, metadata.Pairs(append([]string{"ns", ns, "sa", sa}, more...)...))
}

// anonymous opens a delta stream without any proof.
func (w *world) anonymous(ns, pod string) *envoy { return w.open(ns, pod, nil) }

func (w *world) open(ns, pod string, md metadata.MD) *envoy {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), md))
	w.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(w.conn()).DeltaAggregatedResources(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	e := &envoy{t: w.t, node: nodeOf(ns, pod), stream: stream, responses: make(chan *deltaResponse, 2000), ended: make(chan error, 1)}
	go e.read()
	return e
}

func (e *envoy) read() {
	for {
		r, err := e.stream.Recv()
		if err != nil {
			e.ended <- err
			return
		}
		e.responses <- r
	}
}

// say sends a request; the first one carries the node.
func (e *envoy) say(r *deltaRequest) {
	e.t.Helper()
	if e.node != nil && r.Node == nil {
		r.Node, e.node = e.node, nil
	}
	if err := e.stream.Send(r); err != nil {
		e.t.Logf("sending: %v", err)
	}
}

func (e *envoy) ask(k kind, names ...string) {
	e.t.Helper()
	e.say(&deltaRequest{TypeUrl: k.url(), ResourceNamesSubscribe: names})
}

func (e *envoy) ack(r *deltaResponse) {
	e.t.Helper()
	e.say(&deltaRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce})
}

func (e *envoy) nack(r *deltaResponse, reason string) {
	e.t.Helper()
	e.say(&deltaRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce, ErrorDetail: &statuspb.Status{Code: int32(codes.InvalidArgument), Message: reason}})
}

// get is the next response, which must be of the kind and hold these resources,
// a removed one as "-NAME".
func (e *envoy) get(k kind, want ...string) *deltaResponse {
	e.t.Helper()
	r := e.next()
	if r.TypeUrl != k.url() {
		e.t.Fatalf("got %s %v, want %s %v", r.TypeUrl, contents(r), k.url(), want)
	}
	slices.Sort(want)
	if got := contents(r); !slices.Equal(got, want) {
		e.t.Fatalf("%s: got %v, want %v", k.label(), got, want)
	}
	return r
}

// take is get, acknowledged.
func (e *envoy) take(k kind, want ...string) *deltaResponse {
	e.t.Helper()
	r := e.get(k, want...)
	e.ack(r)
	return r
}

func (e *envoy) next() *deltaResponse {
	e.t.Helper()
	select {
	case r := <-e.responses:
		return r
	case err := <-e.ended:
		e.t.Fatalf("stream ended: %v", err)
	case <-time.After(5 * time.Second):
		e.t.Fatal("no response within 5 s")
	}
	return nil
}

// quiet fails when anything is sent; it needs a synctest bubble.
func (e *envoy) quiet() {
	e.t.Helper()
	synctest.Wait()
	select {
	case r := <-e.responses:
		e.t.Fatalf("got %s %v, want silence", r.TypeUrl, contents(r))
	case err := <-e.ended:
		e.t.Fatalf("stream ended: %v", err)
	default:
	}
}

// refusedWith waits for the end of the stream with this code and answers its message.
func (e *envoy) refusedWith(code codes.Code) string {
	e.t.Helper()
	for {
		select {
		case <-e.responses:
		case err := <-e.ended:
			if status.Code(err) != code {
				e.t.Fatalf("stream ended with %v, want code %s", err, code)
			}
			return status.Convert(err).Message()
		case <-time.After(time.Minute):
			e.t.Fatal("the stream lives")
		}
	}
}

// contents are the names in a response, sorted.
func contents(r *deltaResponse) []string {
	names := []string{}
	for _, res := range r.Resources {
		names = append(names, res.Name)
	}
	for _, name := range r.RemovedResources {
		names = append(names, "-"+name)
	}
	slices.Sort(names)
	return names
}

// bubble runs a test on fake time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// silence lets time pass on a bubble's clock.
func silence(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

// connectDeaf is a client that asks for clusters and never reads.
func (w *world) connectDeaf(ns, sa, pod string) {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), metadata.Pairs("ns", ns, "sa", sa)))
	w.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(w.conn()).DeltaAggregatedResources(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := stream.Send(&deltaRequest{Node: nodeOf(ns, pod), TypeUrl: cluster.url()}); err != nil {
		w.t.Fatal(err)
	}
}

// settle waits until the server has done all that it will do now.
func (e *envoy) settle() { synctest.Wait() }
