package xds

import (
	"fmt"
	"runtime/debug"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// built makes and encodes one unit; nil if its making panics. One object that
// finds a fault in the builder must not end the control plane for everybody: the
// unit stays as it was, which for one that never was is nothing.
func (c *catalog) built(id unitID, sc build.Scope, visibility build.Visibility) *unit {
	resources, ok := c.guarded(fmt.Sprintf("%+v", id), func() []build.Resource { return c.make.unit(c.snap, id, sc) })
	if !ok {
		return nil
	}
	return &unit{visibility: visibility, resources: resources}
}

// inbound is the inbound side of a workload group. One that can't be built is
// that of a pod that nobody knows: it denies everything.
func (c *catalog) inbound(in *mesh.Inbound) []*resource {
	resources, ok := c.guarded("inbound", func() []build.Resource { return c.make.inbound(c.snap, in) })
	if !ok {
		resources, _ = c.guarded("inbound of unknown pods", func() []build.Resource { return c.make.inbound(c.snap, nil) })
	}
	return resources
}

// guarded encodes what make answers, unless it panics.
func (c *catalog) guarded(what string, make func() []build.Resource) (resources []*resource, ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			c.metrics.panics.Inc()
			c.log.Error("configuration not built", "unit", what, "fault", fault, "stack", string(debug.Stack()))
			resources, ok = nil, false
		}
	}()
	return c.encodeAll(make()), true
}
