package manifest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ apiVersion, kind, found, meant, fix string }{
		{"v1", "Pod", "Pod", "", ""},
		{"networking.istio.io/v1alpha3", "VirtualService", "VirtualService", "", ""},
		{"networking.istio.io/v1beta1", "DestinationRule", "DestinationRule", "", ""},
		{"security.istio.io/v1", "AuthorizationPolicy", "AuthorizationPolicy", "", ""},
		{"security.istio.io/v1alpha1", "AuthorizationPolicy", "", "AuthorizationPolicy", "security.istio.io/v1 or security.istio.io/v1beta1"},
		{"security.istio.io/v1", "Authorizationpolicy", "", "AuthorizationPolicy", "write kind: AuthorizationPolicy"},
		{"security.istio.io/v1", "PeerAuthentification", "", "PeerAuthentication", "write kind"},
		{"security.istio/v1", "PeerAuthentication", "", "PeerAuthentication", "write apiVersion"},
		{"v1", "AuthorizationPolicy", "", "AuthorizationPolicy", "write apiVersion"},
		{"secruity.istio.io/v1", "AuthorizationPolicy", "", "AuthorizationPolicy", "write apiVersion"},
		{"discovery.k8s.io/v1beta1", "EndpointSlice", "", "EndpointSlice", "discovery.k8s.io/v1"},
		{"v2", "Pod", "", "Pod", "write apiVersion: v1"},
		// Kinds of somebody else are no slips.
		{"policy.linkerd.io/v1alpha1", "AuthorizationPolicy", "", "", ""}, {"serving.knative.dev/v1", "Service", "", "", ""},
		{"v1", "Node", "", "", ""}, {"v1", "Secret", "", "", ""}, {"apps/v1", "Deployment", "", "", ""}, {"", "", "", "", ""},
		{"security.istio.io/v1", "RequestAuthentication", "", "", ""}, {"networking.istio.io/v1", "Gateway", "", "", ""},
	} {
		found, meant, fix := find(c.apiVersion, c.kind)
		if name(found) != c.found || name(meant) != c.meant || !strings.Contains(fix, c.fix) || (fix == "") != (c.fix == "") {
			t.Errorf("%s %s: found %q, meant %q, fix %q", c.apiVersion, c.kind, name(found), name(meant), fix)
		}
	}
}

func name(k *kind) string {
	if k == nil {
		return ""
	}
	return k.name
}

// TestKindsMakeWhatTheMeshTakes: every kind's object is one that a builder knows
// by the same name, and its metadata and spec are the object's own.
func TestKindsMakeWhatTheMeshTakes(t *testing.T) {
	for _, k := range kinds {
		object, meta, spec := k.make()
		if got := strings.TrimPrefix(reflect.TypeOf(object).String(), "*v1."); got != k.name {
			t.Errorf("kind %s makes a %s", k.name, got)
		}
		meta.Name = "probe"
		own := reflect.ValueOf(object).Elem()
		if own.FieldByName("ObjectMeta").FieldByName("Name").String() != "probe" {
			t.Errorf("%s: the metadata is not the object's", k.name)
		}
		if spec != nil && own.FieldByName("Spec").Addr().Pointer() != reflect.ValueOf(spec).Pointer() {
			t.Errorf("%s: the spec is not the object's", k.name)
		}
		if k.policy() != (k.name == mesh.KindPeerAuthentication || k.name == mesh.KindAuthorizationPolicy) {
			t.Errorf("%s: policy is %v", k.name, k.policy())
		}
	}
}
