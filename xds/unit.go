package xds

import (
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// part is which resources of a scope a unit makes.
type part uint8

const (
	clusters part = iota
	endpoints
	virtualHosts
	ports
	base
	denials
)

// unitID names the smallest piece of a scope that is built alone: one part of
// a host, one port, the base, or the denials, which are the same for all scopes.
type unitID struct {
	part part
	host string
	port uint32
}

// unit is what one build made.
type unit struct {
	visibility build.Visibility
	resources  []*resource
}

// maker makes the resources of one unit, or of one workload group. It is what
// package build exports; tests have worlds of their own.
type maker struct {
	unit    func(*mesh.Snapshot, unitID, build.Scope) []build.Resource
	inbound func(*mesh.Snapshot, *mesh.Inbound) []build.Resource
	widen   func(build.Resource, []string) build.Resource
	recycle func(build.Resource, uint64) build.Resource
}

// fromBuild makes what package build says.
var fromBuild = maker{
	unit: func(snap *mesh.Snapshot, id unitID, sc build.Scope) []build.Resource {
		switch id.part {
		case clusters:
			return build.Clusters(snap, sc, id.host)
		case endpoints:
			return build.Endpoints(snap, sc, id.host)
		case virtualHosts:
			return build.VirtualHosts(snap, sc, id.host)
		case ports:
			return build.Port(snap, sc, id.port)
		case denials:
			return build.Denials(snap)
		default:
			return build.Base(snap, sc)
		}
	},
	inbound: build.Inbound,
	widen:   build.Widen,
	recycle: build.Recycle,
}

// encodeAll encodes what was built. What can't be encoded is left out and
// reported: clients keep what they have.
func (c *catalog) encodeAll(built []build.Resource) []*resource {
	out := make([]*resource, 0, len(built))
	for _, r := range built {
		res, err := encode(r)
		if err != nil {
			c.log.Error("resource left out", "error", err, "origins", r.Origins)
			continue
		}
		c.metrics.builds.WithLabelValues(res.kind.label()).Inc()
		c.metrics.encodes.WithLabelValues(res.kind.label()).Inc()
		out = append(out, res)
	}
	return out
}
