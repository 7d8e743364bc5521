package xds

import (
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/xds/build"
)

// What is written by hand must be what the protocol's own types write.
func TestResponsesDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var resources []*resource
		var bodies []*anypb.Any
		for range rapid.IntRange(0, 4).Draw(t, "resources") {
			b := clusterOf(rapid.String().Draw(t, "name"), rapid.StringN(0, 400, 1000).Draw(t, "mark"))
			b.Aliases = rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "aliases")
			r, err := encode(b)
			if err != nil {
				t.Skip(err) // not UTF-8
			}
			body, err := anypb.New(b.Message)
			if err != nil {
				t.Fatal(err)
			}
			resources, bodies = append(resources, r), append(bodies, body)
		}
		checkDelta(t, resources, bodies)
		checkState(t, resources, bodies)
	})
}

func checkDelta(t *rapid.T, resources []*resource, bodies []*anypb.Any) {
	r := &response{typeURL: build.TypeCluster, nonce: "n", resources: resources, removed: []string{"x", "y"}}
	want := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: r.typeURL, Nonce: r.nonce, RemovedResources: r.removed}
	for i, res := range resources {
		want.Resources = append(want.Resources, &discoveryv3.Resource{Name: res.name, Version: res.version, Resource: bodies[i], Aliases: res.source.Aliases})
	}
	decoded := &discoveryv3.DeltaDiscoveryResponse{}
	if err := proto.Unmarshal(r.encode().Materialize(), decoded); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(decoded, want) {
		t.Fatalf("got %v, want %v", decoded, want)
	}
}

func checkState(t *rapid.T, resources []*resource, bodies []*anypb.Any) {
	r := &response{typeURL: build.TypeCluster, nonce: "n", version: "v", sotw: true, resources: resources}
	want := &discoveryv3.DiscoveryResponse{TypeUrl: r.typeURL, Nonce: r.nonce, VersionInfo: r.version, Resources: bodies}
	decoded := &discoveryv3.DiscoveryResponse{}
	if err := proto.Unmarshal(r.encode().Materialize(), decoded); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(decoded, want) {
		t.Fatalf("got %v, want %v", decoded, want)
	}
}

func TestVersionIsTheContent(t *testing.T) {
	one, err := encode(clusterOf("a", "x"))
	if err != nil {
		t.Fatal(err)
	}
	same, _ := encode(clusterOf("a", "x"))
	other, _ := encode(clusterOf("a", "y"))
	if one.version != same.version || one.version == other.version || len(one.version) != 32 {
		t.Errorf("versions %s, %s, %s", one.version, same.version, other.version)
	}
	if string(one.delta.ReadOnlyData()) != string(same.delta.ReadOnlyData()) {
		t.Error("equal content, other bytes")
	}
}

func TestEncodeRefusesOtherTypes(t *testing.T) {
	b := clusterOf("a", "")
	b.TypeURL = "type.googleapis.com/made.up"
	if _, err := encode(b); err == nil {
		t.Error("a type that is not served was encoded")
	}
}
