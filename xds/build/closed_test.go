package build

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

var closedWorld = &mesh.Snapshot{TrustDomain: spiffeid.RequireTrustDomainFromString("td"), Config: &mesh.Config{}}

// rulesOf are the rules of each filter by name; nil rules let everything pass.
func rulesOf(t *testing.T, in *mesh.Inbound) map[string]*rbacv3.RBAC {
	t.Helper()
	out := map[string]*rbacv3.RBAC{}
	for _, r := range Inbound(closedWorld, in) {
		extension, ok := r.Message.(*corev3.TypedExtensionConfig)
		if !ok {
			continue
		}
		var http httprbacv3.RBAC
		var tcp tcprbacv3.RBAC
		switch {
		case extension.TypedConfig.UnmarshalTo(&http) == nil:
			out[r.Name] = http.Rules
		case extension.TypedConfig.UnmarshalTo(&tcp) == nil:
			out[r.Name] = tcp.Rules
		default:
			t.Fatalf("%s is a %s", r.Name, extension.TypedConfig.TypeUrl)
		}
	}
	if len(out) != 4 {
		t.Fatalf("filters: %v", out)
	}
	return out
}

// closed: rules that let nobody pass, whatever they say besides.
func closed(r *rbacv3.RBAC) bool {
	return r != nil && r.Action == rbacv3.RBAC_ALLOW && len(r.Policies) == 0
}

// deniesAll: a rule that refuses everybody.
func deniesAll(r *rbacv3.RBAC) bool {
	for _, p := range r.GetPolicies() {
		if r.Action == rbacv3.RBAC_DENY && p.Permissions[0].GetAny() && p.Principals[0].GetAny() {
			return true
		}
	}
	return false
}

func TestRulesFailClosed(t *testing.T) {
	policy := func(action authz.Action, rules ...authz.Rule) *mesh.Inbound {
		return &mesh.Inbound{Policies: []*authz.Policy{{Namespace: "shop", Name: "p", Action: action, Rules: rules}}}
	}
	from := func(s authz.Source) authz.Rule { return authz.Rule{From: []authz.Source{s}} }
	bad := "\xff"
	for name, in := range map[string]*mesh.Inbound{
		"an unknown workload":               nil,
		"an ALLOW without rules":            policy(authz.Allow),
		"an ALLOW with an empty source":     policy(authz.Allow, from(authz.Source{})),
		"an ALLOW with a bad address":       policy(authz.Allow, from(authz.Source{IPBlocks: []string{"10.0.0.0/99"}})),
		"an ALLOW with an unknown key":      policy(authz.Allow, authz.Rule{When: []authz.Condition{{Key: "no.such", Values: []string{"x"}}}}),
		"an ALLOW with text that is none":   policy(authz.Allow, from(authz.Source{Namespaces: []string{bad}})),
		"an ALLOW with a name that is none": {Policies: []*authz.Policy{{Name: bad, Action: authz.Allow, Rules: []authz.Rule{{}}}}},
		"a nil policy":                      {Policies: []*authz.Policy{nil}},
		"a policy without an action":        policy(""),
		"a DENY with a bad address":         policy(authz.Deny, from(authz.Source{IPBlocks: []string{"10.0.0.0/99"}})),
		"a DENY with text that is none":     policy(authz.Deny, from(authz.Source{Namespaces: []string{bad}})),
	} {
		t.Run(name, func(t *testing.T) {
			rules := rulesOf(t, in)
			for _, kind := range []string{"http", "tcp"} {
				deny, allow := rules["rbac/"+kind+"/deny"], rules["rbac/"+kind+"/allow"]
				if !closed(allow) && !closed(deny) && !deniesAll(deny) {
					t.Errorf("%s is open: deny %v, allow %v", kind, deny, allow)
				}
			}
		})
	}
	open := rulesOf(t, &mesh.Inbound{})
	if closed(open["rbac/http/allow"]) || deniesAll(open["rbac/http/deny"]) {
		t.Error("without a policy all is denied: the test above shows nothing")
	}
}

// A clause of an attribute that there is no word for matches nobody in an ALLOW,
// and everybody in a "not".
func TestNamesThatNobodyHas(t *testing.T) {
	words := translator{trustDomain: closedWorld.TrustDomain}
	for _, m := range []authz.Match{
		{Attribute: authz.SourceNamespace, Op: authz.Prefix, Value: "shop/sa/a"},
		{Attribute: authz.SourcePrincipal, Op: authz.Suffix, Value: "//td/ns/shop/sa/a"},
	} {
		if !words.principal(m).GetNotId().GetAny() {
			t.Errorf("%+v matches %v", m, words.principal(m))
		}
	}
}
