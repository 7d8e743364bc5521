package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	networking "istio.io/api/networking/v1alpha3"
)

// entry is the part of a ServiceEntry that all its hosts share.
type entry struct {
	endpoints []entryEndpoint
	accounts  []spiffeid.ID // subjectAltNames
}

type entryEndpoint struct {
	address      string
	ports        map[string]uint32 // by the name of the service port
	labels       map[string]string
	id           spiffeid.ID
	region, zone string
	weight       uint32
}

// compileEntry reads a ServiceEntry: one definition a host.
func compileEntry(td spiffeid.TrustDomain, ref Ref, in *networking.ServiceEntry, a age, f *findings) []*definition {
	if in.GetResolution() != networking.ServiceEntry_STATIC {
		f.fail("spec.resolution", "write resolution: STATIC with spec.endpoints or spec.workloadSelector",
			"resolution %s is not supported", in.GetResolution())
		return nil
	}
	checkMessage(in, "spec", f)
	e := &entry{accounts: entryAccounts(in, f)}
	targets := entryPorts(in, f)
	if len(in.GetEndpoints()) > 0 && in.GetWorkloadSelector() != nil {
		f.fail("spec.workloadSelector", "keep spec.endpoints or spec.workloadSelector", "both endpoints and a workloadSelector are given")
	}
	for i, w := range in.GetEndpoints() {
		e.endpoints = append(e.endpoints, compileWorkloadEntry(td, ref.Namespace, w, fmt.Sprintf("spec.endpoints[%d]", i), f))
	}
	base := Service{
		Ref: ref, External: in.GetLocation() == networking.ServiceEntry_MESH_EXTERNAL,
		Addresses: entryAddresses(in, f), ExportTo: exportTo(in.GetExportTo(), ref.Namespace, "spec.exportTo", f),
	}
	for _, t := range targets {
		base.Ports = append(base.Ports, t.ServicePort)
	}
	hosts := entryHosts(ref.Namespace, in, f)
	if f.failed {
		return nil
	}
	var out []*definition
	for _, host := range hosts {
		s := base
		s.Host = host
		out = append(out, &definition{service: &s, selector: in.GetWorkloadSelector().GetLabels(), targets: targets, entry: e, age: a})
	}
	return out
}

// entryHosts checks the hosts. A host under the cluster's domain names a
// namespace, and only an entry of that namespace may speak for it.
func entryHosts(namespace string, in *networking.ServiceEntry, f *findings) []string {
	hosts := Set[string]{}
	for i, h := range in.GetHosts() {
		field := fmt.Sprintf("spec.hosts[%d]", i)
		h = strings.ToLower(h)
		if err := checkHost(h, false); err != nil {
			f.fail(field, "write a full DNS name such as api.example.com", "host %v", err)
			continue
		}
		if _, ok := address(h); ok {
			f.fail(field, "write it into spec.addresses, and a DNS name here", "host %q is an IP address", h)
			continue
		}
		if rest, ok := strings.CutSuffix(h, ".svc."+clusterDomain); ok && !strings.HasSuffix(rest, "."+namespace) {
			f.fail(field, "move the ServiceEntry into that namespace", "host %q belongs to another namespace", h)
			continue
		}
		hosts.Add(h)
	}
	if len(in.GetHosts()) == 0 {
		f.fail("spec.hosts", "name at least one host", "no host is given")
	}
	return slices.Sorted(maps.Keys(hosts))
}

func entryAccounts(in *networking.ServiceEntry, f *findings) []spiffeid.ID {
	var out []spiffeid.ID
	for i, san := range in.GetSubjectAltNames() {
		id, err := spiffeid.FromString(san)
		if err != nil {
			f.note(fmt.Sprintf("spec.subjectAltNames[%d]", i), "write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT",
				"%q is not a SPIFFE ID and is left out", san)
			continue
		}
		out = append(out, id)
	}
	return out
}

func entryAddresses(in *networking.ServiceEntry, f *findings) []string {
	var out []string
	for i, s := range in.GetAddresses() {
		ip, ok := address(s)
		if !ok {
			f.fail(fmt.Sprintf("spec.addresses[%d]", i), "write a single IP address; ranges are not supported", "%q is not an IP address", s)
			continue
		}
		out = append(out, ip)
	}
	return out
}

func entryPorts(in *networking.ServiceEntry, f *findings) []portTarget {
	var out []portTarget
	for i, p := range in.GetPorts() {
		field := fmt.Sprintf("spec.ports[%d]", i)
		switch {
		case p.GetNumber() < 1 || p.GetNumber() > 65535:
			f.fail(field+".number", "write a port from 1 to 65535", "%d is not a port", p.GetNumber())
			continue
		case p.GetTargetPort() > 65535:
			f.fail(field+".targetPort", "write a port from 1 to 65535", "%d is not a port", p.GetTargetPort())
			continue
		case p.GetName() == "":
			f.fail(field+".name", "name the port", "the port has no name")
			continue
		case slices.ContainsFunc(out, func(t portTarget) bool { return t.Number == p.GetNumber() || t.Name == p.GetName() }):
			f.fail(field, "give each port a number and a name of its own", "port %s %d is listed twice", p.GetName(), p.GetNumber())
			continue
		}
		noteReserved(p.GetNumber(), field+".number", f)
		protocol := parseProtocol(cmp.Or(p.GetProtocol(), p.GetName()))
		out = append(out, portTarget{
			ServicePort: ServicePort{Name: p.GetName(), Number: p.GetNumber(), Protocol: protocol},
			number:      cmp.Or(p.GetTargetPort(), p.GetNumber()),
		})
	}
	if len(out) == 0 && !f.failed {
		f.fail("spec.ports", "list at least one port", "no port is given")
	}
	slices.SortFunc(out, func(a, b portTarget) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

func compileWorkloadEntry(td spiffeid.TrustDomain, namespace string, w *networking.WorkloadEntry, field string, f *findings) entryEndpoint {
	ip, ok := address(w.GetAddress())
	if !ok {
		f.fail(field+".address", "write an IP address such as 10.0.0.7", "%q is not an IP address", w.GetAddress())
	}
	e := entryEndpoint{address: ip, ports: w.GetPorts(), labels: w.GetLabels(), weight: w.GetWeight()}
	for name, port := range w.GetPorts() {
		if port < 1 || port > 65535 {
			f.fail(field+".ports["+name+"]", "write a port from 1 to 65535", "%d is not a port", port)
		}
	}
	if locality := strings.Split(w.GetLocality(), "/"); len(locality) > 1 {
		e.region, e.zone = locality[0], locality[1]
	} else {
		e.region = locality[0]
	}
	if name := w.GetServiceAccount(); name != "" {
		id, err := spiffeid.FromSegments(td, "ns", namespace, "sa", name)
		if err != nil {
			f.fail(field+".serviceAccount", "write the name of a ServiceAccount", "%q can't be a service account", name)
		}
		e.id = id
	}
	return e
}
