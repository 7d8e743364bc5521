package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// resource is one resource in the form in which it is sent. It is made once
// and shared by every view and session; all but its caches is immutable.
type resource struct {
	kind    kind
	name    string
	version string // hash of the content
	ids     []string
	origins []mesh.Ref

	// delta is the resource as field 2 of a DeltaDiscoveryResponse, tag and length
	// included; state is the part of the same bytes that is field 2 of a
	// DiscoveryResponse. Both nil: only name and version are known, from a client
	// that has the resource already.
	delta, state mem.Buffer
	// value is the part of them that is the message itself.
	value []byte

	// assignment names the endpoints of a cluster that is fed by EDS; else "".
	assignment string
	// pulls: a RouteConfiguration that takes its virtual hosts from VHDS.
	pulls bool
	// of is, of a variant (a cluster that accepts more identities than the mesh
	// says while its clients' endpoints move, a recycled listener), the resource as
	// the mesh says; else nil.
	of *resource

	source   build.Resource // of what has variants, to make them
	variants variants
	accepted atomic.Pointer[[]string]
}

// maxAccepted bounds how many client versions a resource remembers as having
// accepted it; versions are the clients' own words.
const maxAccepted = 16

// The fields of envoy.service.discovery.v3 and google.protobuf.Any that are
// written by hand, so that responses can be put together around shared bytes.
const (
	anyType, anyValue                                    = 1, 2
	resVersion, resResource, resName, resAliases         = 1, 2, 3, 4
	respVersion, respResources, respType, respNonce      = 1, 2, 4, 5
	deltaResources, deltaType, deltaNonce, deltaRemovals = 2, 4, 5, 6
)

// encode makes the one encoding of a built resource.
func encode(b build.Resource) (*resource, error) {
	k, ok := kindOf(b.TypeURL)
	if !ok {
		return nil, fmt.Errorf("encoding %s: type %q is not served", b.Name, b.TypeURL)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.Message)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", k.label(), b.Name, err)
	}
	r := &resource{kind: k, name: b.Name, version: contentHash(value, b.Aliases, b.IDs), ids: b.IDs, origins: b.Origins}
	switch m := b.Message.(type) {
	case *clusterv3.Cluster:
		r.source = b
		r.assignment = assignmentOf(m)
	case *listenerv3.Listener:
		if r.name == build.VirtualInbound {
			r.source = b
		}
	case *routev3.RouteConfiguration:
		r.pulls = m.GetVhds() != nil
	}
	var body []byte
	body = appendBytes(body, anyType, b.TypeURL)
	body = appendBytes(body, anyValue, value)
	r.frame(body, len(value), b.Aliases)
	return r, nil
}

// placeholder is the answer "there is none, do not wait": a name with no body.
func placeholder(k kind, name string) *resource {
	r := &resource{kind: k, name: name, version: contentHash(nil, []string{name}, nil)}
	r.frame(nil, 0, []string{name})
	return r
}

// frame lays out the resource's bytes; body is its Any, or nil.
func (r *resource) frame(body []byte, valueSize int, aliases []string) {
	inner := appendBytes(nil, resVersion, r.version)
	start := len(inner)
	if body != nil {
		inner = appendBytes(inner, resResource, body)
	}
	end := len(inner)
	inner = appendBytes(inner, resName, r.name)
	for _, alias := range aliases {
		inner = appendBytes(inner, resAliases, alias)
	}
	outer := appendBytes(make([]byte, 0, len(inner)+8), deltaResources, inner)
	shift := len(outer) - len(inner)
	r.delta = mem.SliceBuffer(outer)
	r.state = mem.SliceBuffer(outer[shift+start : shift+end])
	r.value = outer[shift+end-valueSize : shift+end]
}

func appendBytes[T string | []byte](to []byte, field protowire.Number, v T) []byte {
	to = protowire.AppendTag(to, field, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(len(v)))
	return append(to, v...)
}

// contentHash is 128 bits of SHA-256 in hex. The IDs are part of it: endpoints
// that stay where they are and run as somebody else are other endpoints.
func contentHash(value []byte, aliases, ids []string) string {
	h := sha256.New()
	h.Write(value)
	for _, list := range [][]string{aliases, ids} {
		h.Write([]byte{0})
		for _, s := range list {
			h.Write([]byte(s))
			h.Write([]byte{0})
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// assignmentOf is the name of the endpoints that feed a cluster; "" if none do.
func assignmentOf(c *clusterv3.Cluster) string {
	if c.GetType() != clusterv3.Cluster_EDS {
		return ""
	}
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" {
		return name
	}
	return c.GetName()
}

// heldAs is a resource of which only the version is known, from its holder.
func heldAs(k kind, name, version string) *resource {
	return &resource{kind: k, name: name, version: version}
}

// hollow says whether only the version is known, so that it can't be sent.
func (r *resource) hollow() bool { return r.delta == nil }

// routeName is the RouteConfiguration that a virtual host belongs to.
func routeName(virtualHost string) string {
	return virtualHost[:max(0, strings.LastIndexByte(virtualHost, '/'))]
}

// retold is the resource, or its equal in content with other origins, which
// then takes over what clients have accepted.
func (r *resource) retold(by *resource) *resource {
	if slices.Equal(r.origins, by.origins) {
		return r
	}
	by.accepted.Store(r.accepted.Load())
	return by
}

// accept notes that a client of this version took the content.
func (r *resource) accept(version string) {
	for {
		old := r.accepted.Load()
		if old != nil && (slices.Contains(*old, version) || len(*old) >= maxAccepted) {
			return
		}
		list := []string{version}
		if old != nil {
			list = append(list, *old...)
		}
		if r.accepted.CompareAndSwap(old, &list) {
			return
		}
	}
}

// acceptedBy says whether some client of this version took the content.
func (r *resource) acceptedBy(version string) bool {
	list := r.accepted.Load()
	return list != nil && slices.Contains(*list, version)
}
