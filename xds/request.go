package xds

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// request is what a client said, of either protocol.
type request struct {
	node    *corev3.Node
	typeURL string
	nonce   string           // of the response that it answers; "": none
	failure *statuspb.Status // why it refused that response; nil: it did not
	size    int              // bytes on the wire

	// Of delta xDS only.
	subscribe, unsubscribe []string
	initial                map[string]string // versions that the client brought, by name

	// Of state-of-the-world only: all names that it wants now, and the version
	// that it last accepted.
	names   []string
	version string
}

// maxName is how long a resource name may be, in bytes.
const maxName = 1024

// receive reads the next request of a stream.
func receive(stream grpc.ServerStream, sotw bool) (*request, error) {
	in := &received{message: &discoveryv3.DeltaDiscoveryRequest{}}
	if sotw {
		in.message = &discoveryv3.DiscoveryRequest{}
	}
	if err := stream.RecvMsg(in); err != nil {
		return nil, err
	}
	if in.size > maxRequest {
		return nil, refuse(codes.ResourceExhausted, "request_size", "discovery request of %d bytes; at most %d are taken", in.size, maxRequest)
	}
	req := normal(in)
	return req, req.check()
}

// normal puts both protocols' requests into one form.
func normal(in *received) *request {
	switch m := in.message.(type) {
	case *discoveryv3.DeltaDiscoveryRequest:
		return &request{
			node: m.GetNode(), typeURL: m.GetTypeUrl(), nonce: m.GetResponseNonce(), failure: m.GetErrorDetail(), size: in.size,
			subscribe: m.GetResourceNamesSubscribe(), unsubscribe: m.GetResourceNamesUnsubscribe(), initial: m.GetInitialResourceVersions(),
		}
	case *discoveryv3.DiscoveryRequest:
		return &request{
			node: m.GetNode(), typeURL: m.GetTypeUrl(), nonce: m.GetResponseNonce(), failure: m.GetErrorDetail(), size: in.size,
			names: m.GetResourceNames(), version: m.GetVersionInfo(),
		}
	default:
		panic(fmt.Sprintf("xds: %T is no discovery request", m))
	}
}

// check refuses names that no resource can have.
func (r *request) check() error {
	for _, list := range [][]string{r.subscribe, r.unsubscribe, r.names} {
		for _, name := range list {
			if len(name) > maxName {
				return refuse(codes.InvalidArgument, "name_size", "resource name of %d bytes; at most %d are taken", len(name), maxName)
			}
		}
	}
	for name := range r.initial {
		if len(name) > maxName {
			return refuse(codes.InvalidArgument, "name_size", "resource name of %d bytes in initial_resource_versions; at most %d are taken", len(name), maxName)
		}
	}
	return nil
}
