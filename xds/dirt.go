package xds

import (
	"slices"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// dirt is what must be built again after a change.
type dirt struct {
	old, new *mesh.Snapshot
	all      bool
	units    map[unitID]struct{}
	// inline are ports whose RouteConfiguration holds its virtual hosts: they are
	// dirty for scopes without VHDS only.
	inline map[uint32]struct{}
}

// dirtOf follows a change set to the units that read what changed; the doc
// comments of package build say what each reads.
func dirtOf(old, new *mesh.Snapshot, ch mesh.ChangeSet) *dirt {
	d := &dirt{old: old, new: new, all: ch.Config, units: map[unitID]struct{}{}, inline: map[uint32]struct{}{}}
	if d.all {
		return d
	}
	for host := range ch.Services {
		d.service(host)
	}
	for host := range ch.Endpoints {
		d.host(endpoints, host)
		d.headless(host)
	}
	for host := range ch.Accounts {
		d.host(clusters, host)
		d.host(endpoints, host)
	}
	for pattern := range ch.Routes {
		d.covered(pattern, d.routes)
	}
	for pattern := range ch.DestinationRules {
		d.ruled(pattern)
	}
	if ch.Denied {
		d.denied()
	}
	return d
}

// ruled marks what reads the DestinationRules of a pattern.
func (d *dirt) ruled(pattern string) {
	d.covered(pattern, func(host string) {
		d.host(clusters, host)
		d.host(endpoints, host)
	})
}

// denied marks what reads who is cut off itself. What quarantine takes from
// hosts and workloads is in their own sets.
func (d *dirt) denied() {
	d.units[unitID{part: denials}] = struct{}{}
	moved := d.new.Denied.Since(d.old.Denied)
	if len(moved) == 0 {
		return
	}
	for pattern, rules := range d.new.DestinationRules {
		if slices.ContainsFunc(rules, func(r *mesh.DestinationRule) bool { return build.Accepts(r, moved) }) {
			d.ruled(pattern)
		}
	}
}

func (d *dirt) host(p part, host string) { d.units[unitID{part: p, host: host}] = struct{}{} }
func (d *dirt) port(number uint32)       { d.units[unitID{part: ports, port: number}] = struct{}{} }
func (d *dirt) inlinePort(number uint32) { d.inline[number] = struct{}{} }
func (d *dirt) both() []*mesh.Snapshot   { return []*mesh.Snapshot{d.old, d.new} }
func (d *dirt) empty() bool              { return !d.all && len(d.units) == 0 && len(d.inline) == 0 }

// service marks all that a host makes, and the virtual hosts that read it.
func (d *dirt) service(host string) {
	d.host(clusters, host)
	d.host(endpoints, host)
	d.routes(host)
	for _, snap := range d.both() {
		if svc := snap.Services[host]; svc != nil {
			for _, p := range svc.Ports {
				d.port(p.Number)
			}
		}
		for _, other := range build.Affects(snap, host) {
			d.covered(other, d.routes) // hosts that are no service too
		}
	}
}

// routes marks the virtual hosts of a host, wherever they are held, and its
// ports when their listeners hold TCP routes.
func (d *dirt) routes(host string) {
	d.host(virtualHosts, host)
	for _, snap := range d.both() {
		svc := snap.Services[host]
		if svc == nil {
			d.port(80) // where hosts that are no service are routed
			continue
		}
		for _, p := range svc.Ports {
			if p.Protocol.IsHTTP() {
				d.inlinePort(p.Number)
			} else {
				d.port(p.Number)
			}
		}
	}
}

// headless marks the TCP listeners that exist for each endpoint.
func (d *dirt) headless(host string) {
	for _, snap := range d.both() {
		svc := snap.Services[host]
		if svc == nil || len(svc.Addresses) > 0 {
			continue
		}
		for _, p := range svc.Ports {
			if !p.Protocol.IsHTTP() {
				d.port(p.Number)
			}
		}
	}
}

// covered hands every host that the pattern of a route or rule speaks for to do.
func (d *dirt) covered(pattern string, do func(host string)) {
	do(pattern)
	if len(pattern) == 0 || pattern[0] != '*' {
		return
	}
	for _, snap := range d.both() {
		for host := range snap.Services {
			if build.Covers(pattern, host) {
				do(host)
			}
		}
		for host := range snap.Routes {
			if build.Covers(pattern, host) {
				do(host)
			}
		}
	}
}
