package mesh

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// slice is what the mesh needs of an EndpointSlice.
type slice struct {
	host      string
	ports     []slicePort
	endpoints []sliceEndpoint
}

type slicePort struct {
	name   string
	number uint32
}

type sliceEndpoint struct {
	addresses []string
	ready     bool
	pod       Key // of targetRef; zero if none
	zone      string
}

// each visits every address with the pod that it is said to be of.
func (s *slice) each(visit func(ip string, pod Key)) {
	for _, e := range s.endpoints {
		for _, ip := range e.addresses {
			visit(ip, e.pod)
		}
	}
}

// compileSlice reads an EndpointSlice; nil when it belongs to no service.
func compileSlice(ref Ref, in *discoveryv1.EndpointSlice, f *findings) *slice {
	service := in.Labels[discoveryv1.LabelServiceName]
	if service == "" {
		f.note("metadata.labels", "add the label "+discoveryv1.LabelServiceName+": SERVICE", "the slice belongs to no service")
		return nil
	}
	if in.AddressType == discoveryv1.AddressTypeFQDN {
		f.note("addressType", "write IPv4 or IPv6", "addresses of type FQDN are not supported")
		return nil
	}
	s := &slice{host: kubeHost(Key{ref.Namespace, service})}
	for i, p := range in.Ports {
		if p.Protocol != nil && !isTCP(*p.Protocol) || p.Port == nil {
			continue
		}
		if *p.Port < 1 || *p.Port > 65535 {
			f.note(fmt.Sprintf("ports[%d].port", i), "write a port from 1 to 65535", "%d is not a port", *p.Port)
			continue
		}
		s.ports = append(s.ports, slicePort{name: deref(p.Name), number: uint32(*p.Port)})
	}
	slices.SortFunc(s.ports, func(a, b slicePort) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number))
	})
	for i, e := range in.Endpoints {
		s.endpoints = append(s.endpoints, compileEndpoint(ref.Namespace, e, fmt.Sprintf("endpoints[%d]", i), f))
	}
	return s
}

func compileEndpoint(namespace string, e discoveryv1.Endpoint, field string, f *findings) sliceEndpoint {
	out := sliceEndpoint{ready: e.Conditions.Ready == nil || *e.Conditions.Ready, zone: deref(e.Zone)}
	for i, a := range e.Addresses {
		ip, ok := address(a)
		if !ok {
			f.note(fmt.Sprintf("%s.addresses[%d]", field, i), "write an IP address such as 10.0.0.7", "%q is not an IP address", a)
			continue
		}
		out.addresses = append(out.addresses, ip)
	}
	if t := e.TargetRef; t != nil && t.Kind == "Pod" && t.Name != "" && sameNamespace(t, namespace) {
		out.pod = Key{namespace, t.Name}
	}
	return out
}

// sameNamespace: a slice speaks for pods of its own namespace only.
func sameNamespace(t *corev1.ObjectReference, namespace string) bool {
	return t.Namespace == "" || t.Namespace == namespace
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
