package mesh

import (
	"reflect"
	"strings"
	"testing"

	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/ensign-mesh/ensign/authz"
)

const (
	allow  = security.AuthorizationPolicy_ALLOW
	deny   = security.AuthorizationPolicy_DENY
	audit  = security.AuthorizationPolicy_AUDIT
	custom = security.AuthorizationPolicy_CUSTOM
)

var denyAll = []authz.Rule{{}}

// policiesOf are the policies of pod shop/web-1 (app: web) under these objects.
func policiesOf(t *testing.T, objects ...Object) ([]*authz.Policy, []Problem) {
	t.Helper()
	pod := podObject(newPod("shop", "web-1", "10.0.0.1", "web", map[string]string{"app": "web"}))
	s, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: append(objects, pod)})
	return s.Workloads[Key{"shop", "web-1"}].Inbound.Policies, problems
}

func selecting(p *securityv1.AuthorizationPolicy, labels map[string]string) *securityv1.AuthorizationPolicy {
	p.Spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: labels}
	return p
}

func targeting(p *securityv1.AuthorizationPolicy, group, kind, name string) *securityv1.AuthorizationPolicy {
	p.Spec.TargetRefs = append(p.Spec.TargetRefs, &typev1beta1.PolicyTargetReference{Group: group, Kind: kind, Name: name})
	return p
}

func TestPoliciesThatSelectAWorkload(t *testing.T) {
	got, problems := policiesOf(t,
		policyObject(selecting(newPolicy("shop", "web", allow), map[string]string{"app": "web"})),
		policyObject(selecting(newPolicy("shop", "db", allow), map[string]string{"app": "db"})),
		policyObject(newPolicy("shop", "all", allow)),
		policyObject(newPolicy("istio-system", "mesh", allow)),
		policyObject(newPolicy("bank", "other", allow)),
		policyObject(newPolicy("shop", "audit", audit)),
	)
	var names []string
	for _, p := range got {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	if want := []string{"istio-system/mesh", "shop/all", "shop/web"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if len(problems) != 1 || problems[0].Ref.Name != "audit" {
		t.Errorf("problems %+v, want AUDIT's", problems)
	}
}

func TestPolicyOfTheRootNamespaceCountsOnce(t *testing.T) {
	_, s := build(t, policyObject(newPolicy("istio-system", "mesh", allow)), podObject(newPod("istio-system", "x", "10.0.0.1", "x", nil)))
	if got := s.Workloads[Key{"istio-system", "x"}].Inbound.Policies; len(got) != 1 {
		t.Errorf("%d policies, want 1", len(got))
	}
}

func TestAllAttributesAreTaken(t *testing.T) {
	rule := &security.Rule{
		From: []*security.Rule_From{{Source: &security.Source{
			Principals: []string{"cluster.local/ns/a/sa/b", "*"}, NotPrincipals: []string{"cluster.local/ns/a/sa/c"},
			Namespaces: []string{"a"}, NotNamespaces: []string{"b*"},
			ServiceAccounts: []string{"own", "a/b"}, NotServiceAccounts: []string{"a/c"},
			IpBlocks: []string{"10.0.0.0/8"}, NotIpBlocks: []string{"10.1.2.3"},
		}}},
		To: []*security.Rule_To{{Operation: &security.Operation{
			Hosts: []string{"a.example"}, NotHosts: []string{"b.example"}, Ports: []string{"80"}, NotPorts: []string{"81"},
			Methods: []string{"GET"}, NotMethods: []string{"PUT"}, Paths: []string{"/a*"}, NotPaths: []string{"*/b"},
		}}},
		When: []*security.Condition{{Key: "request.headers[x-a]", Values: []string{"1"}, NotValues: []string{"2"}}},
	}
	got, problems := policiesOf(t, policyObject(newPolicy("shop", "p", allow, rule)))
	want := []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Allow, Rules: []authz.Rule{{
		From: []authz.Source{{
			Principals: []string{"cluster.local/ns/a/sa/b", "*"}, NotPrincipals: []string{"cluster.local/ns/a/sa/c"},
			Namespaces: []string{"a"}, NotNamespaces: []string{"b*"},
			ServiceAccounts: []string{"shop/own", "a/b"}, NotServiceAccounts: []string{"a/c"},
			IPBlocks: []string{"10.0.0.0/8"}, NotIPBlocks: []string{"10.1.2.3"},
		}},
		To: []authz.Operation{{
			Hosts: []string{"a.example"}, NotHosts: []string{"b.example"}, Ports: []string{"80"}, NotPorts: []string{"81"},
			Methods: []string{"GET"}, NotMethods: []string{"PUT"}, Paths: []string{"/a*"}, NotPaths: []string{"*/b"},
		}},
		When: []authz.Condition{{Key: "request.headers[x-a]", Values: []string{"1"}, NotValues: []string{"2"}}},
	}}}}
	if len(problems) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, problems %+v", got, problems)
	}
}

func TestPrincipalOfClusterLocalMeansOwnDomain(t *testing.T) {
	b := NewBuilder(exampleDomain)
	pod := podObject(newPod("shop", "web-1", "10.0.0.1", "web", nil))
	s, _, problems := b.Apply(Update{Upserts: []Object{pod, policyObject(newPolicy("shop", "p", allow, fromPrincipal("cluster.local/ns/a/sa/b", "other.org/ns/a/sa/b")))}})
	got := s.Workloads[Key{"shop", "web-1"}].Inbound.Policies[0].Rules[0].From[0].Principals
	if want := []string{"example.org/ns/a/sa/b", "other.org/ns/a/sa/b"}; !reflect.DeepEqual(got, want) || len(problems) > 0 {
		t.Errorf("got %v, want %v; %v", got, want, problems)
	}
}

// What can't be enforced: an ALLOW allows nothing by it, a DENY denies more.
func TestUnsupportedAttributesFailClosed(t *testing.T) {
	jwt := func() *security.Source { return &security.Source{RequestPrincipals: []string{"*"}} }
	named := func() *security.Source { return &security.Source{Principals: []string{"cluster.local/ns/a/sa/b"}} }
	from := func(s ...*security.Source) *security.Rule {
		r := &security.Rule{}
		for _, one := range s {
			r.From = append(r.From, &security.Rule_From{Source: one})
		}
		return r
	}
	both := named()
	both.NotRemoteIpBlocks = []string{"1.2.3.4"}
	paths := &security.Rule{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{"/a", "/b/{*}"}}}}}
	when := &security.Rule{When: []*security.Condition{{Key: "request.auth.claims[x]", Values: []string{"y"}}}}
	principal := authz.Source{Principals: []string{"cluster.local/ns/a/sa/b"}}
	for name, c := range map[string]struct {
		rule        *security.Rule
		allow, deny []authz.Rule
	}{
		"source of JWT alone":      {from(jwt()), nil, []authz.Rule{{}}},
		"one source of two":        {from(jwt(), named()), []authz.Rule{{From: []authz.Source{principal}}}, []authz.Rule{{}}},
		"a source with one more":   {from(both), nil, []authz.Rule{{From: []authz.Source{principal}}}},
		"path template":            {paths, nil, []authz.Rule{{}}},
		"condition of JWT's claim": {when, nil, []authz.Rule{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			for action, want := range map[security.AuthorizationPolicy_Action][]authz.Rule{allow: c.allow, deny: c.deny, custom: c.deny} {
				got, problems := policiesOf(t, policyObject(newPolicy("shop", "p", action, c.rule)))
				if len(got) != 1 || !reflect.DeepEqual(got[0].Rules, want) {
					t.Errorf("%s: got %+v, want rules %+v", action, got, want)
				}
				if len(problems) == 0 {
					t.Errorf("%s: nothing was said", action)
				}
			}
		})
	}
}

func TestBadPolicyDeniesWhatItSelects(t *testing.T) {
	bad := func() *securityv1.AuthorizationPolicy {
		return newPolicy("shop", "p", allow, fromPrincipal("spiffe://cluster.local/ns/a/sa/b"))
	}
	web, db := map[string]string{"app": "web"}, map[string]string{"app": "db"}
	service := serviceObject(newService("shop", "web", "web"))
	for name, c := range map[string]struct {
		objects []Object
		denied  bool
	}{
		"whole namespace":           {[]Object{policyObject(bad())}, true},
		"selected":                  {[]Object{policyObject(selecting(bad(), web))}, true},
		"not selected":              {[]Object{policyObject(selecting(bad(), db))}, false},
		"selector of no pod":        {[]Object{policyObject(selecting(newPolicy("shop", "p", allow), map[string]string{"app": "*"}))}, true},
		"unknown action":            {[]Object{policyObject(newPolicy("shop", "p", 77))}, true},
		"null rule":                 {[]Object{policyObject(newPolicy("shop", "p", allow, nil))}, true},
		"null source":               {[]Object{policyObject(newPolicy("shop", "p", allow, &security.Rule{From: []*security.Rule_From{nil}}))}, true},
		"empty source":              {[]Object{policyObject(newPolicy("shop", "p", allow, &security.Rule{From: []*security.Rule_From{{Source: &security.Source{}}}}))}, true},
		"empty principal":           {[]Object{policyObject(newPolicy("shop", "p", allow, fromPrincipal("")))}, true},
		"star in the middle":        {[]Object{policyObject(newPolicy("shop", "p", deny, &security.Rule{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{"/a*b"}}}}}))}, true},
		"service as target":         {[]Object{service, policyObject(targeting(newPolicy("shop", "p", allow), "", "Service", "web"))}, true},
		"another service":           {[]Object{service, policyObject(targeting(newPolicy("shop", "p", allow), "", "Service", "db"))}, false},
		"gateway as target":         {[]Object{policyObject(targeting(newPolicy("shop", "p", allow), "gateway.networking.k8s.io", "Gateway", "web"))}, false},
		"unknown target":            {[]Object{policyObject(targeting(newPolicy("shop", "p", allow), "x", "Thing", "web"))}, true},
		"unreadable":                {[]Object{{Ref: Ref{Kind: KindAuthorizationPolicy, Key: Key{"shop", "p"}}, Value: &Unreadable{}}}, true},
		"unreadable with selector":  {[]Object{{Ref: Ref{Kind: KindAuthorizationPolicy, Key: Key{"shop", "p"}}, Value: &Unreadable{Selector: db}}}, false},
		"unreadable of root's":      {[]Object{{Ref: Ref{Kind: KindAuthorizationPolicy, Key: Key{"istio-system", "p"}}, Value: &Unreadable{}}}, true},
		"unreadable in another one": {[]Object{{Ref: Ref{Kind: KindAuthorizationPolicy, Key: Key{"bank", "p"}}, Value: &Unreadable{}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := policiesOf(t, c.objects...)
			denied := len(got) == 1 && got[0].Action == authz.Deny && reflect.DeepEqual(got[0].Rules, denyAll)
			if denied != c.denied || !c.denied && len(got) != 0 {
				t.Errorf("policies %+v, want denied %v", got, c.denied)
			}
			if len(problems) == 0 || !strings.Contains(problems[0].Message, "denies everything") {
				t.Errorf("problems %+v", problems)
			}
		})
	}
}

func TestBadPolicyKeepsLastGood(t *testing.T) {
	good, bad := newPolicy("shop", "p", allow, fromPrincipal("cluster.local/ns/a/sa/b")), newPolicy("shop", "p", allow, fromPrincipal("x"))
	pod := podObject(newPod("shop", "web-1", "10.0.0.1", "web", nil))
	b, before := build(t, pod, policyObject(good))
	s, changes, problems := b.Apply(Update{Upserts: []Object{policyObject(bad)}})
	if s != before || !changes.Empty() || len(problems) != 1 || !strings.HasSuffix(problems[0].Message, keptLast) {
		t.Fatalf("changes %+v, problems %+v", changes, problems)
	}
	s, _, problems = b.Apply(Update{Upserts: []Object{policyObject(newPolicy("shop", "p", deny, fromPrincipal("cluster.local/ns/a/sa/b")))}})
	if got := s.Workloads[Key{"shop", "web-1"}].Inbound.Policies; got[0].Action != authz.Deny || len(problems) != 0 {
		t.Errorf("a good version later: %+v, problems %+v", got[0], problems)
	}
}

// After a stand-in, another bad version must not be taken for a last good one.
func TestStandInIsNotALastGoodVersion(t *testing.T) {
	pod := podObject(newPod("shop", "web-1", "10.0.0.1", "web", map[string]string{"app": "web"}))
	b := NewBuilder(testDomain)
	b.Apply(Update{Upserts: []Object{pod, policyObject(selecting(newPolicy("shop", "p", 77), map[string]string{"app": "db"}))}})
	s, _, _ := b.Apply(Update{Upserts: []Object{policyObject(newPolicy("shop", "p", 78))}})
	if got := s.Workloads[Key{"shop", "web-1"}].Inbound.Policies; len(got) != 1 {
		t.Errorf("the second bad version selects the pod, but policies are %+v", got)
	}
}

func TestDryRunHasNoEffect(t *testing.T) {
	p := newPolicy("shop", "p", deny, &security.Rule{})
	p.Annotations = map[string]string{dryRunAnnotation: "true"}
	if got, problems := policiesOf(t, policyObject(p)); len(got) != 0 || len(problems) != 1 {
		t.Errorf("policies %+v, problems %+v", got, problems)
	}
}
