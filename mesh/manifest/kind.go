package manifest

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensign-mesh/ensign/mesh"
)

// kind is one kind of object that is read.
type kind struct {
	group    string // "" is the core group
	versions []string
	name     string
	// make is a new typed object with where its metadata goes and, for Istio's
	// kinds, its spec; Kubernetes' kinds are decoded as a whole.
	make func() (object any, meta *metav1.ObjectMeta, spec proto.Message)
}

var (
	istioVersions    = []string{"v1", "v1beta1", "v1alpha3"}
	securityVersions = []string{"v1", "v1beta1"}
)

var kinds = []kind{
	{"", []string{"v1"}, mesh.KindNamespace, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &corev1.Namespace{}
		return o, &o.ObjectMeta, nil
	}},
	{"", []string{"v1"}, mesh.KindServiceAccount, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &corev1.ServiceAccount{}
		return o, &o.ObjectMeta, nil
	}},
	{"", []string{"v1"}, mesh.KindService, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &corev1.Service{}
		return o, &o.ObjectMeta, nil
	}},
	{"", []string{"v1"}, mesh.KindPod, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &corev1.Pod{}
		return o, &o.ObjectMeta, nil
	}},
	{"", []string{"v1"}, mesh.KindConfigMap, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &corev1.ConfigMap{}
		return o, &o.ObjectMeta, nil
	}},
	{"discovery.k8s.io", []string{"v1"}, mesh.KindEndpointSlice, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &discoveryv1.EndpointSlice{}
		return o, &o.ObjectMeta, nil
	}},
	{"networking.istio.io", istioVersions, mesh.KindServiceEntry, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &networkingv1.ServiceEntry{}
		return o, &o.ObjectMeta, &o.Spec
	}},
	{"networking.istio.io", istioVersions, mesh.KindVirtualService, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &networkingv1.VirtualService{}
		return o, &o.ObjectMeta, &o.Spec
	}},
	{"networking.istio.io", istioVersions, mesh.KindDestinationRule, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &networkingv1.DestinationRule{}
		return o, &o.ObjectMeta, &o.Spec
	}},
	{"security.istio.io", securityVersions, mesh.KindPeerAuthentication, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &securityv1.PeerAuthentication{}
		return o, &o.ObjectMeta, &o.Spec
	}},
	{"security.istio.io", securityVersions, mesh.KindAuthorizationPolicy, func() (any, *metav1.ObjectMeta, proto.Message) {
		o := &securityv1.AuthorizationPolicy{}
		return o, &o.ObjectMeta, &o.Spec
	}},
}

// find is the kind of a document. When it is none of ours but looks like a slip,
// meant is the kind that was meant and fix says what to write.
func find(apiVersion, name string) (found, meant *kind, fix string) {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	for i, k := range kinds {
		switch {
		case k.group == group && k.name == name:
			if slices.Contains(k.versions, version) {
				return &kinds[i], nil, ""
			}
			meant, fix = &kinds[i], "write apiVersion: "+k.apiVersions()
		case k.group == group && meant == nil && isSlip(k.name, name):
			meant, fix = &kinds[i], "write kind: "+k.name
		case k.name == name && k.group != "" && meant == nil && (strings.Contains(group, "istio") || group == "" || distance(k.group, group, 3) <= 3):
			meant, fix = &kinds[i], "write apiVersion: "+k.apiVersions()
		}
	}
	return nil, meant, fix
}

// isSlip says whether name is likely meant to be known: Node is not a slip for Pod.
func isSlip(known, name string) bool {
	limit := min(2, len(known)/4)
	return distance(strings.ToLower(known), strings.ToLower(name), limit) <= limit
}

func (k kind) apiVersions() string {
	var out []string
	for _, v := range k.versions {
		if k.group != "" {
			v = k.group + "/" + v
		}
		out = append(out, v)
	}
	return strings.Join(out, " or ")
}

// policy says whether an object of the kind closes doors.
func (k kind) policy() bool {
	return k.name == mesh.KindPeerAuthentication || k.name == mesh.KindAuthorizationPolicy
}
