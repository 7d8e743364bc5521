package mesh

import (
	"strings"
	"testing"

	security "istio.io/api/security/v1beta1"
)

// TestValueForms: each form of each attribute that is taken or refused.
func TestValueForms(t *testing.T) {
	c := &ruleCompiler{local: "example.org", namespace: "shop"}
	for name, form := range map[string]struct {
		read   func(v, field string) string
		values map[string]string // "" is refused
	}{
		"principal": {c.principal, map[string]string{
			"cluster.local/ns/a/sa/b": "example.org/ns/a/sa/b", "td/ns/a/sa/b": "td/ns/a/sa/b", "*": "*", "td/ns/a/*": "td/ns/a/*",
			"cluster.local/ns/*": "example.org/ns/*", "*/sa/b": "*/sa/b",
			"spiffe://td/ns/a/sa/b": "", "b": "", "td/ns/a": "", "td/ns/a/sa/": "", "TD/ns/a/sa/b": "", "td/ns/a/sa/b/c": "", "": "",
		}},
		"account": {c.account, map[string]string{"a/b": "a/b", "b": "shop/b", "a/b.c": "a/b.c", "a/*": "", "*": "", "a/b/c": "", "": "", "A/b": ""}},
		"block":   {c.block, map[string]string{"10.0.0.0/8": "10.0.0.0/8", "10.0.0.1": "10.0.0.1", "fd00::/8": "fd00::/8", "10.0.0.0/33": "", "10.*": "", "": "", "fe80::1%eth0": ""}},
		"port":    {c.port, map[string]string{"80": "80", "65535": "65535", "0": "", "65536": "", "080": "", "+80": "", "http": "", "8*": "", "": ""}},
	} {
		for in, want := range form.values {
			c.f = &findings{}
			if got := form.read(in, "f"); c.f.failed != (want == "") || want != "" && got != want {
				t.Errorf("%s %q is %q, refused %v; want %q", name, in, got, c.f.failed, want)
			}
		}
	}
}

func TestConditionKeys(t *testing.T) {
	for key, c := range map[string]struct {
		value       string
		taken, fail bool
	}{
		"source.ip": {"10.0.0.1", true, false}, "source.namespace": {"a", true, false}, "source.principal": {"td/ns/a/sa/b", true, false},
		"destination.ip": {"10.0.0.0/8", true, false}, "destination.port": {"80", true, false}, "connection.sni": {"a.example", true, false},
		"request.headers[x-user]": {"jo", true, false},
		"remote.ip":               {"1.2.3.4", false, false}, "request.auth.claims[iss]": {"a", false, false}, "experimental.envoy.filters.x[y]": {"z", false, false},
		"request.headers[]": {"a", false, true}, "request.headers": {"a", false, true}, "source.adress": {"a", false, true}, "": {"a", false, true},
	} {
		for _, allowed := range []bool{true, false} {
			f := &findings{}
			rc := &ruleCompiler{f: f, allow: allowed, local: "td", namespace: "shop"}
			_, keep, ok := rc.condition(&security.Condition{Key: key, Values: []string{c.value}}, "when[0]")
			if f.failed != c.fail {
				t.Errorf("%q: refused %v, want %v: %+v", key, f.failed, c.fail, f.list)
			}
			if !c.fail && keep != c.taken {
				t.Errorf("%q: taken %v, want %v", key, keep, c.taken)
			}
			if !c.fail && !c.taken && ok == allowed {
				t.Errorf("%q can't be enforced: an ALLOW must not match by it, a DENY must", key)
			}
		}
	}
}

// TestEveryUnknownAttributeIsClosed: a field of Istio's that is added tomorrow
// and that this code does not know must not open anything. Source.trustDomains
// is one that it does not know today.
func TestEveryUnknownAttributeIsClosed(t *testing.T) {
	rule := &security.Rule{From: []*security.Rule_From{{Source: &security.Source{Principals: []string{"*"}, TrustDomains: []string{"td"}}}}}
	got, problems := policiesOf(t, policyObject(newPolicy("shop", "p", allow, rule)))
	if len(got) != 1 || len(got[0].Rules) != 0 || len(problems) != 1 || !strings.HasSuffix(problems[0].Field, "source.trustDomains") {
		t.Errorf("policies %+v, problems %+v", got[0], problems)
	}
}

func TestRuleWithoutDemandsMatchesAll(t *testing.T) {
	got, problems := policiesOf(t, policyObject(newPolicy("shop", "p", allow, &security.Rule{})))
	if len(problems) != 0 || len(got) != 1 || len(got[0].Rules) != 1 {
		t.Errorf("rules: [{}] allows everything, as in Istio: %+v, %+v", got, problems)
	}
}
