package mesh

import (
	"cmp"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	corev1 "k8s.io/api/core/v1"

	"github.com/ensign-mesh/ensign/identity"
)

const (
	sidecarLabel = "security.istio.io/tlsMode"
	sidecarMTLS  = "istio"
)

// pod is what the mesh needs of a Pod.
type pod struct {
	ref       Ref
	uid, node string
	account   identity.ServiceAccount
	id        spiffeid.ID
	ips       []string // nil: not a workload yet
	labels    map[string]string
	sidecar   bool
	// gone: finished, its address may belong to another pod by now.
	gone        bool
	terminating bool
	ready       bool
	named       map[string]uint32 // TCP container ports by name
}

// compilePod reads a Pod. A pod without an account runs as "default".
func compilePod(td spiffeid.TrustDomain, ref Ref, in *corev1.Pod, f *findings) *pod {
	name := cmp.Or(in.Spec.ServiceAccountName, "default")
	id, err := spiffeid.FromSegments(td, "ns", ref.Namespace, "sa", name)
	if err != nil || !dnsSubdomain.MatchString(name) {
		f.fail("spec.serviceAccountName", "write the name of a ServiceAccount", "%q can't be a service account", name)
		return nil
	}
	p := &pod{
		ref: ref, uid: string(in.UID), node: in.Spec.NodeName, id: id,
		account:     identity.ServiceAccount{TrustDomain: td, Namespace: ref.Namespace, Name: name},
		labels:      in.Labels,
		sidecar:     in.Labels[sidecarLabel] == sidecarMTLS,
		gone:        in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed,
		terminating: in.DeletionTimestamp != nil,
		named:       namedPorts(in.Spec),
	}
	p.ready = !p.gone && !p.terminating && in.Status.Phase != corev1.PodPending && podReady(in.Status)
	p.ips = podAddresses(in.Status, f)
	return p
}

func podAddresses(status corev1.PodStatus, f *findings) []string {
	raw := []string{}
	if status.PodIP != "" {
		raw = append(raw, status.PodIP)
	}
	for _, ip := range status.PodIPs {
		if ip.IP != "" && ip.IP != status.PodIP {
			raw = append(raw, ip.IP)
		}
	}
	var out []string
	for i, s := range raw {
		ip, ok := address(s)
		if !ok {
			f.note(fmt.Sprintf("status.podIPs[%d]", i), "write an IP address such as 10.0.0.7", "%q is not an IP address", s)
			continue
		}
		out = append(out, ip)
	}
	return out
}

func podReady(status corev1.PodStatus) bool {
	for _, c := range status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

// namedPorts lists the TCP ports that a service can name: of the containers and
// of the init containers that stay as sidecars. The first of a name wins, as in Kubernetes.
func namedPorts(spec corev1.PodSpec) map[string]uint32 {
	out := map[string]uint32{}
	for _, c := range append(append([]corev1.Container{}, spec.Containers...), stayingInit(spec)...) {
		for _, p := range c.Ports {
			if _, ok := out[p.Name]; !ok && p.Name != "" && isTCP(p.Protocol) && p.ContainerPort > 0 && p.ContainerPort <= 65535 {
				out[p.Name] = uint32(p.ContainerPort)
			}
		}
	}
	return out
}

func stayingInit(spec corev1.PodSpec) []corev1.Container {
	var out []corev1.Container
	for _, c := range spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, c)
		}
	}
	return out
}

func isTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }
