package xds

import (
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/identity"
)

func FuzzNodeID(f *testing.F) {
	for _, id := range []string{
		"sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", "sidecar~::1~a.b.c~", "router~10.0.0.1~a.b~c",
		"sidecar~10.0.0.1~.shop~x", "sidecar~x~web.shop~x", "~~~", "", "sidecar~10.0.0.1~web~x", "sidecar~10.0.0.1~A.b~x",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		n, err := parseNode(id)
		if err != nil {
			return
		}
		parts := strings.Split(id, "~")
		if len(parts) != 4 || parts[2] != n.pod.Name+"."+n.pod.Namespace || strings.Contains(n.pod.Namespace, ".") || n.pod.Name == "" {
			t.Errorf("%q was read as pod %+v", id, n.pod)
		}
	})
}

// FuzzRequests feeds a session with two requests of a hostile client, of either
// protocol: it must neither panic nor send what its client did not ask for.
func FuzzRequests(f *testing.F) {
	for _, r := range []*deltaRequest{
		{TypeUrl: cluster.url()},
		{TypeUrl: endpoint.url(), ResourceNamesSubscribe: []string{hostA, "*", ""}, InitialResourceVersions: map[string]string{hostA: "x", "": ""}},
		{TypeUrl: virtualHost.url(), ResourceNamesUnsubscribe: []string{"*", "80/a:80"}},
		{TypeUrl: cluster.url(), ResponseNonce: "1"},
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, data, false)
		f.Add(data, data, true)
	}
	f.Fuzz(func(t *testing.T, one, two []byte, sotw bool) {
		w := fuzzWorld(t)
		s := newSession(w.server, identity.Caller{Account: account("shop", "web")}, sotw)
		if _, err := s.handle(&request{node: nodeOf("shop", "web-1")}, epoch); err != nil {
			t.Fatal(err)
		}
		defer s.close()
		for _, data := range [][]byte{one, two} {
			in := &received{message: &discoveryv3.DeltaDiscoveryRequest{}}
			if sotw {
				in.message = &discoveryv3.DiscoveryRequest{}
			}
			if Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, in) != nil {
				return
			}
			req := normal(in)
			if req.check() != nil {
				return
			}
			if _, err := s.handle(req, epoch); err != nil {
				return
			}
			for range 20 {
				r, k := s.next(epoch)
				if r == nil {
					break
				}
				if k >= 0 && !s.watches[k].asked {
					t.Fatalf("%s was sent and never asked for", k.label())
				}
				r.encode()
			}
		}
	})
}

func fuzzWorld(t *testing.T) *world {
	w := newWorld(t)
	w.base(clusterOf(hostA, "", "A"), endpointsWith(hostA, "", "A"), listenerOf("l", ""), routeOf("80", true), virtualHostOf("80/a:80", ""))
	return w
}
