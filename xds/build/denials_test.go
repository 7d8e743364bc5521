package build_test

import (
	"bytes"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// policiesDenied are the policies of the HTTP filter.
func policiesDenied(t *testing.T, d *mesh.Denied) *httprbacv3.RBAC {
	t.Helper()
	rbac := new(httprbacv3.RBAC)
	r := build.Denials(&mesh.Snapshot{Denied: d})[0]
	if err := r.Message.(*corev3.TypedExtensionConfig).TypedConfig.UnmarshalTo(rbac); err != nil || r.Name != build.RevokedHTTP {
		t.Fatalf("%s: %v", r.Name, err)
	}
	return rbac
}

// What no certificate can have must not make the filter deny everybody, and
// nothing denied is a filter that lets all pass.
func TestDenialsAreOfCertificatesThatCanBe(t *testing.T) {
	good := strings.Repeat("0f", 32)
	for name, d := range map[string]*mesh.Denied{
		"none":   {},
		"broken": {Digests: []string{"", "zz", strings.ToUpper(good), good + "0", "\xff"}, Identities: []string{"spiffe://td/\xff"}},
	} {
		if rbac := policiesDenied(t, d); rbac.Rules.GetAction() != 1 || len(rbac.Rules.Policies) != 0 {
			t.Errorf("%s: %v", name, rbac)
		}
	}
	rbac := policiesDenied(t, &mesh.Denied{Digests: []string{"zz", good}, Identities: []string{"spiffe://td/a", "spiffe://td/\xff"}})
	if text := rbac.String(); !strings.Contains(text, good) || strings.Contains(text, "zz") || !strings.Contains(text, "spiffe://td/a") {
		t.Errorf("got %s", text)
	}
}

// A rule names servers; none in quarantine is accepted, and none at all is nobody.
func TestQuarantineTakesNamesOfRules(t *testing.T) {
	const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: named, namespace: shop}
spec:
  host: a.shop.svc.cluster.local
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/x/sa/y", "spiffe://cluster.local/ns/x/sa/z"]}}
---`
	s := *load(t, rule+serverOfA)
	const y, z = "spiffe://cluster.local/ns/x/sa/y", "spiffe://cluster.local/ns/x/sa/z"
	for _, c := range []struct{ denied, want []string }{{nil, []string{y, z}}, {[]string{y}, []string{z}}, {[]string{y, z}, nil}} {
		s.Denied = &mesh.Denied{Identities: c.denied}
		got := build.Clusters(&s, build.Scope{Namespace: "shop"}, "a.shop.svc.cluster.local")[0]
		accepted := accepts(t, got)
		if c.want == nil {
			c.want = []string{"spiffe://ensign.invalid/nobody"}
		}
		if strings.Join(accepted, " ") != strings.Join(c.want, " ") {
			t.Errorf("without %v the cluster accepts %v", c.denied, accepted)
		}
	}
	for _, r := range s.DestinationRules["a.shop.svc.cluster.local"] {
		if want := r.Ref.Name == "named"; build.Accepts(r, []string{z}) != want || build.Accepts(r, []string{"spiffe://cluster.local/ns/x/sa/w"}) {
			t.Errorf("%v: accepts z: %v", r.Ref, !want)
		}
	}
}

// The denials are the same bytes each time, in whatever order maps give them.
func TestDenialsAreDeterministic(t *testing.T) {
	s := &mesh.Snapshot{Denied: &mesh.Denied{Digests: []string{strings.Repeat("0f", 32)}, Identities: []string{"spiffe://td/a"}}}
	first := build.Denials(s)[1].Message.(*corev3.TypedExtensionConfig).TypedConfig.Value
	for range 20 {
		if again := build.Denials(s)[1].Message.(*corev3.TypedExtensionConfig).TypedConfig.Value; !bytes.Equal(first, again) {
			t.Fatal("other bytes for the same list")
		}
	}
}
