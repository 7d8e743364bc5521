package mesh

import (
	"reflect"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Kinds of objects that a mesh is built of.
const (
	KindNamespace           = "Namespace"
	KindServiceAccount      = "ServiceAccount"
	KindService             = "Service"
	KindPod                 = "Pod"
	KindConfigMap           = "ConfigMap"
	KindEndpointSlice       = "EndpointSlice"
	KindServiceEntry        = "ServiceEntry"
	KindVirtualService      = "VirtualService"
	KindDestinationRule     = "DestinationRule"
	KindPeerAuthentication  = "PeerAuthentication"
	KindAuthorizationPolicy = "AuthorizationPolicy"
)

// kindOf is the kind of a typed object, "" for a type that no mesh is built of
// and for a nil pointer.
func kindOf(o Object) string {
	if v := reflect.ValueOf(o.Value); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return ""
	}
	switch o.Value.(type) {
	case *corev1.Namespace:
		return KindNamespace
	case *corev1.ServiceAccount:
		return KindServiceAccount
	case *corev1.Service:
		return KindService
	case *corev1.Pod:
		return KindPod
	case *corev1.ConfigMap:
		return KindConfigMap
	case *discoveryv1.EndpointSlice:
		return KindEndpointSlice
	case *networkingv1.ServiceEntry:
		return KindServiceEntry
	case *networkingv1.VirtualService:
		return KindVirtualService
	case *networkingv1.DestinationRule:
		return KindDestinationRule
	case *securityv1.PeerAuthentication:
		return KindPeerAuthentication
	case *securityv1.AuthorizationPolicy:
		return KindAuthorizationPolicy
	case *Unreadable:
		if o.Ref.Kind == KindPeerAuthentication || o.Ref.Kind == KindAuthorizationPolicy {
			return o.Ref.Kind
		}
	}
	return ""
}
