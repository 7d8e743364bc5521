package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const exportToAnnotation = "networking.istio.io/exportTo"

// definition is one host, from a Kubernetes Service or a ServiceEntry, and how
// its pods are found.
type definition struct {
	service  *Service
	selector map[string]string // empty: selects no pod
	targets  []portTarget      // one a service port, in the order of service.Ports
	kube     bool
	entry    *entry // of a ServiceEntry; else nil
	age      age
}

// portTarget is the pod's port that a service port sends to.
type portTarget struct {
	ServicePort
	number uint32
	name   string // of the container port; "" when number says it
}

// on is the port of one pod; false when the pod does not have it.
func (t portTarget) on(p *pod) (uint32, bool) {
	if t.name == "" {
		return t.number, true
	}
	n, ok := p.named[t.name]
	return n, ok
}

// compileService reads a Kubernetes Service; nil when it is none for the mesh.
func compileService(ref Ref, in *corev1.Service, f *findings) *definition {
	if in.Spec.Type == corev1.ServiceTypeExternalName {
		f.note("spec.type", "write a ServiceEntry with the external addresses instead", "an ExternalName service is not part of the mesh")
		return nil
	}
	s := &Service{Ref: ref, Host: kubeHost(ref.Key), Addresses: clusterIPs(in.Spec, f)}
	if v := in.Annotations[exportToAnnotation]; v != "" {
		s.ExportTo = exportTo(strings.Split(v, ","), ref.Namespace, "metadata.annotations["+exportToAnnotation+"]", f)
	} else {
		s.ExportTo = []string{"*"}
	}
	d := &definition{service: s, selector: in.Spec.Selector, kube: true, age: age{in.CreationTimestamp.Time, ref.Key}}
	d.targets = servicePorts(in.Spec.Ports, f)
	for _, t := range d.targets {
		s.Ports = append(s.Ports, t.ServicePort)
	}
	return d
}

func clusterIPs(spec corev1.ServiceSpec, f *findings) []string {
	raw := spec.ClusterIPs
	if len(raw) == 0 && spec.ClusterIP != "" {
		raw = []string{spec.ClusterIP}
	}
	var out []string
	for i, s := range raw {
		if s == corev1.ClusterIPNone || s == "" {
			continue
		}
		ip, ok := address(s)
		if !ok {
			f.note(fmt.Sprintf("spec.clusterIPs[%d]", i), `write an IP address, or "None" for a headless service`, "%q is not an IP address", s)
			continue
		}
		out = append(out, ip)
	}
	return out
}

// servicePorts reads the TCP ports, sorted by number; the first of a number wins.
func servicePorts(in []corev1.ServicePort, f *findings) []portTarget {
	var out []portTarget
	for i, p := range in {
		field := fmt.Sprintf("spec.ports[%d]", i)
		switch {
		case !isTCP(p.Protocol):
			continue
		case p.Port < 1 || p.Port > 65535:
			f.note(field+".port", "write a port from 1 to 65535", "%d is not a port", p.Port)
			continue
		case slices.ContainsFunc(out, func(t portTarget) bool { return t.Number == uint32(p.Port) }):
			f.note(field+".port", "remove one of the two", "port %d is listed twice", p.Port)
			continue
		}
		noteReserved(uint32(p.Port), field+".port", f)
		t := portTarget{ServicePort: ServicePort{Name: p.Name, Number: uint32(p.Port), Protocol: protocolOf(p.AppProtocol, p.Name)}}
		switch v := p.TargetPort; {
		case v.Type == intstr.String && v.StrVal != "":
			t.name = v.StrVal
		case v.IntVal == 0:
			t.number = uint32(p.Port)
		case v.IntVal < 0 || v.IntVal > 65535:
			f.note(field+".targetPort", "write a port from 1 to 65535, or a container port's name", "%d is not a port", v.IntVal)
			continue
		default:
			t.number = uint32(v.IntVal)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b portTarget) int { return cmp.Compare(a.Number, b.Number) })
	return out
}
