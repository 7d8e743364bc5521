package mesh

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

const meshGateway = "mesh"

// route and rule are compiled objects with their age, for the order of a host's list.
type route struct {
	*VirtualService
	age age
}

type rule struct {
	*DestinationRule
	age age
}

// equal ignores the place that the object was read from, and its age.
func (v *VirtualService) equal(o *VirtualService) bool {
	return slices.Equal(v.ExportTo, o.ExportTo) && slices.Equal(v.Hosts, o.Hosts) && proto.Equal(v.Spec, o.Spec)
}

func (r *DestinationRule) equal(o *DestinationRule) bool {
	return slices.Equal(r.ExportTo, o.ExportTo) && proto.Equal(r.Spec, o.Spec)
}

// compileVirtualService reads a VirtualService; nil when no sidecar is meant.
func compileVirtualService(ref Ref, in *networking.VirtualService, f *findings) *VirtualService {
	if g := in.GetGateways(); len(g) > 0 && !slices.Contains(g, meshGateway) {
		return nil
	}
	checkMessage(in, "spec", f)
	noteUnsupported(in, f)
	checkVirtualService(in, f)
	out := &VirtualService{Ref: ref, ExportTo: exportTo(in.GetExportTo(), ref.Namespace, "spec.exportTo", f)}
	if f.failed {
		return nil
	}
	hosts := Set[string]{}
	for _, h := range in.GetHosts() {
		hosts.Add(qualify(h, ref.Namespace))
	}
	out.Hosts = slices.Sorted(maps.Keys(hosts))
	out.Spec = proto.Clone(in).(*networking.VirtualService)
	out.Spec.Hosts = out.Hosts
	out.Spec.Http = sidecarRoutes(out.Spec.GetHttp())
	qualifyDestinations(out.Spec, ref.Namespace)
	return out
}

// sidecarRoutes drops the matches that are meant for other gateways, and the
// routes of which none is left.
func sidecarRoutes(in []*networking.HTTPRoute) []*networking.HTTPRoute {
	return slices.DeleteFunc(in, func(r *networking.HTTPRoute) bool {
		had := len(r.Match) > 0
		r.Match = slices.DeleteFunc(r.Match, func(m *networking.HTTPMatchRequest) bool {
			return len(m.GetGateways()) > 0 && !slices.Contains(m.GetGateways(), meshGateway)
		})
		return had && len(r.Match) == 0
	})
}

func qualifyDestinations(spec *networking.VirtualService, namespace string) {
	eachMessage(spec, "", func(_ string, m proto.Message) {
		if d, ok := m.(*networking.Destination); ok {
			d.Host = qualify(d.GetHost(), namespace)
		}
	})
}

func checkVirtualService(in *networking.VirtualService, f *findings) {
	if len(in.GetHosts()) == 0 {
		f.fail("spec.hosts", "name at least one host", "no host is given")
	}
	for i, h := range in.GetHosts() {
		field := fmt.Sprintf("spec.hosts[%d]", i)
		if h == "*" {
			f.fail(field, "name the hosts, or give spec.gateways without mesh", "host * is not allowed for sidecars")
		} else if err := checkHost(h, true); err != nil {
			f.fail(field, "write a service's name or a full DNS name", "host %v", err)
		}
	}
	if len(in.GetHttp())+len(in.GetTcp())+len(in.GetTls()) == 0 {
		f.fail("spec", "write http, tcp or tls routes", "there is no route")
	}
	for i, r := range in.GetHttp() {
		checkHTTPRoute(r, fmt.Sprintf("spec.http[%d]", i), f)
	}
	for i, r := range in.GetTcp() {
		checkWeights(r.GetRoute(), fmt.Sprintf("spec.tcp[%d].route", i), f)
	}
	for i, r := range in.GetTls() {
		checkWeights(r.GetRoute(), fmt.Sprintf("spec.tls[%d].route", i), f)
	}
}

func checkHTTPRoute(r *networking.HTTPRoute, field string, f *findings) {
	kinds := 0
	for _, given := range []bool{len(r.GetRoute()) > 0, r.GetRedirect() != nil, r.GetDirectResponse() != nil, r.GetDelegate() != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		f.fail(field, "write one of route, redirect, directResponse", "%d of route, redirect, directResponse and delegate are given", kinds)
	}
	if len(r.GetRoute()) > 0 {
		checkWeights(r.GetRoute(), field+".route", f)
	}
}

// checkWeights: Envoy needs a sum from 1 to 2^32-1; a single destination may
// leave its weight out.
func checkWeights[D interface{ GetWeight() int32 }](dests []D, field string, f *findings) {
	var sum int64
	for i, d := range dests {
		if d.GetWeight() < 0 {
			f.fail(fmt.Sprintf("%s[%d].weight", field, i), "write 0 or more", "weight %d is negative", d.GetWeight())
		}
		sum += int64(d.GetWeight())
	}
	switch {
	case len(dests) == 0:
		f.fail(field, "name a destination", "there is no destination")
	case len(dests) > 1 && sum <= 0:
		f.fail(field, "give the destinations weights", "the weights add up to %d", sum)
	case sum > 1<<31:
		f.fail(field, "write smaller weights, e.g. per cent", "the weights add up to %d", sum)
	}
}

// compileDestinationRule reads a DestinationRule.
func compileDestinationRule(ref Ref, in *networking.DestinationRule, f *findings) *DestinationRule {
	checkMessage(in, "spec", f)
	noteUnsupported(in, f)
	if err := checkHost(in.GetHost(), true); err != nil {
		f.fail("spec.host", "write a service's name or a full DNS name", "host %v", err)
	}
	if in.GetWorkloadSelector() != nil {
		f.fail("spec.workloadSelector", "remove it: the rule holds for all clients in reach", "a workloadSelector is not supported")
	}
	names := Set[string]{}
	for i, s := range in.GetSubsets() {
		field := fmt.Sprintf("spec.subsets[%d]", i)
		switch {
		case !dnsLabel.MatchString(s.GetName()):
			f.fail(field+".name", "write lower-case letters, digits and -", "%q is not a subset name", s.GetName())
		case names.Has(s.GetName()):
			f.fail(field+".name", "give each subset a name of its own", "subset %q is there twice", s.GetName())
		}
		names.Add(s.GetName())
	}
	out := &DestinationRule{Ref: ref, ExportTo: exportTo(in.GetExportTo(), ref.Namespace, "spec.exportTo", f)}
	if f.failed {
		return nil
	}
	out.Host = qualify(in.GetHost(), ref.Namespace)
	out.Spec = proto.Clone(in).(*networking.DestinationRule)
	out.Spec.Host = out.Host
	return out
}
