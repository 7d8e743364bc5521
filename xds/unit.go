package xds

import (
	"log/slog"

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
)

// unitID names the smallest piece of a scope that is built alone: one part of
// a host, one port, or the base.
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

// builder makes units of one snapshot.
type builder struct {
	snap    *mesh.Snapshot
	metrics *metrics
	log     *slog.Logger
}

// build makes the unit for a scope.
func (b builder) build(id unitID, sc build.Scope) []*resource {
	switch id.part {
	case clusters:
		return b.encodeAll(build.Clusters(b.snap, sc, id.host))
	case endpoints:
		return b.encodeAll(build.Endpoints(b.snap, sc, id.host))
	case virtualHosts:
		return b.encodeAll(build.VirtualHosts(b.snap, sc, id.host))
	case ports:
		return b.encodeAll(build.Port(b.snap, sc, id.port))
	default:
		return b.encodeAll(build.Base(b.snap, sc))
	}
}

// inbound makes the resources of a workload group.
func (b builder) inbound(in *mesh.Inbound) []*resource {
	return b.encodeAll(build.Inbound(b.snap, in))
}

// encodeAll encodes what was built. What can't be encoded is left out and
// reported: clients keep what they have.
func (b builder) encodeAll(built []build.Resource) []*resource {
	out := make([]*resource, 0, len(built))
	for _, r := range built {
		res, err := encode(r)
		if err != nil {
			b.log.Error("resource left out", "error", err, "origins", r.Origins)
			continue
		}
		b.metrics.builds.WithLabelValues(res.kind.label()).Inc()
		b.metrics.encodes.WithLabelValues(res.kind.label()).Inc()
		out = append(out, res)
	}
	return out
}
