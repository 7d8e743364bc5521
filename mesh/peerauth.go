package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	security "istio.io/api/security/v1beta1"
)

// peerAuth is one compiled PeerAuthentication.
type peerAuth struct {
	ref      Ref
	age      age
	selector map[string]string // nil: the whole namespace
	mode     MTLSMode          // "" inherits
	ports    map[uint32]MTLSMode
	standIn  bool // for one that has no good version
}

// equal ignores the place that the policy was read from.
func (p *peerAuth) equal(o *peerAuth) bool {
	return p.age.compare(o.age) == 0 && p.mode == o.mode && maps.Equal(p.ports, o.ports) &&
		(p.selector == nil) == (o.selector == nil) && maps.Equal(p.selector, o.selector)
}

// compilePeerAuth reads a PeerAuthentication.
func compilePeerAuth(ref Ref, in *security.PeerAuthentication, a age, f *findings) *peerAuth {
	checkMessage(in, "spec", f)
	p := &peerAuth{ref: ref, age: a, selector: checkSelector(in.GetSelector().GetMatchLabels(), f)}
	p.mode = mtlsMode(in.GetMtls())
	for _, port := range slices.Sorted(maps.Keys(in.GetPortLevelMtls())) {
		field := fmt.Sprintf("spec.portLevelMtls[%d]", port)
		if port < 1 || port > 65535 {
			f.fail(field, "write a port from 1 to 65535", "%d is not a port", port)
		}
		if mode := mtlsMode(in.GetPortLevelMtls()[port]); mode != "" {
			if p.ports == nil {
				p.ports = map[uint32]MTLSMode{}
			}
			p.ports[port] = mode
		}
	}
	if len(in.GetPortLevelMtls()) > 0 && p.selector == nil {
		f.fail("spec.portLevelMtls", "add spec.selector.matchLabels: ports differ from workload to workload", "portLevelMtls needs a selector")
	}
	return p
}

func mtlsMode(m *security.PeerAuthentication_MutualTLS) MTLSMode {
	switch m.GetMode() {
	case security.PeerAuthentication_MutualTLS_UNSET:
		return ""
	case security.PeerAuthentication_MutualTLS_STRICT:
		return Strict
	case security.PeerAuthentication_MutualTLS_PERMISSIVE:
		return Permissive
	case security.PeerAuthentication_MutualTLS_DISABLE:
		return Disable
	}
	return Strict // checkMessage refused it
}

// strictStandIn is in force for a PeerAuthentication that has no good version.
func strictStandIn(ref Ref, a age, selector map[string]string) *peerAuth {
	return &peerAuth{ref: ref, age: a, selector: selector, mode: Strict}
}

// resolveMTLS finds what holds for a pod, and by whom: its own policy over its
// namespace's over the root namespace's, the oldest of each; PERMISSIVE where
// none says anything. A policy with a selector counts in its own namespace only.
func resolveMTLS(p *pod, root string, in map[string]map[Key]*peerAuth) (PeerMTLS, []Ref) {
	out := PeerMTLS{Mode: Permissive}
	var origins []Ref
	levels := []*peerAuth{oldest(in[root], nil)}
	if p.ref.Namespace != root {
		levels = append(levels, oldest(in[p.ref.Namespace], nil))
	}
	levels = append(levels, oldest(in[p.ref.Namespace], p))
	for _, l := range levels {
		if l == nil {
			continue
		}
		origins = append(origins, l.ref)
		out.Mode = cmp.Or(l.mode, out.Mode)
		for port, mode := range l.ports {
			if out.Ports == nil {
				out.Ports = map[uint32]MTLSMode{}
			}
			out.Ports[port] = mode
		}
	}
	maps.DeleteFunc(out.Ports, func(_ uint32, m MTLSMode) bool { return m == out.Mode })
	if len(out.Ports) == 0 {
		out.Ports = nil
	}
	return out, origins
}

// oldest is the oldest policy without a selector, or, given a pod, of those
// whose selector covers the pod.
func oldest(in map[Key]*peerAuth, p *pod) *peerAuth {
	var found *peerAuth
	for _, candidate := range in {
		if (candidate.selector == nil) != (p == nil) || p != nil && !covers(candidate.selector, p.labels) {
			continue
		}
		if found == nil || candidate.age.compare(found.age) < 0 {
			found = candidate
		}
	}
	return found
}
