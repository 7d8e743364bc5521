package build

import (
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/mesh"
)

// Resource is one xDS resource, named and traced to the objects it came from.
type Resource struct {
	TypeURL string
	Name    string
	Message proto.Message
	// Aliases are VHDS's other names of the resource; else nil.
	Aliases []string
	// IDs ties a cluster and its endpoints for make-before-break: of a Cluster the
	// SPIFFE IDs that it accepts, of a ClusterLoadAssignment those that its
	// endpoints run as; sorted; else nil.
	IDs []string
	// Origins are the user's objects that shaped it, the most specific first.
	Origins []mesh.Ref
}

// Scope is what outbound configuration is built for and shared within: all
// proxies of one namespace that understand the same features.
type Scope struct {
	Namespace string
	// VHDS: virtual hosts travel one by one (delta Envoys from 1.37); else inside
	// their RouteConfiguration.
	VHDS bool
}
