package authz

import (
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"pgregory.net/rapid"
)

func drawValues(t *rapid.T, values ...string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(values), 0, 2).Draw(t, "values")
}

// drawRule draws bad values too.
func drawRule(t *rapid.T) Rule {
	var r Rule
	if rapid.Bool().Draw(t, "from") {
		r.From = []Source{{
			Principals: drawValues(t, "td/ns/a/sa/x", "td/ns/a/*", "*", ""), NotNamespaces: drawValues(t, "a", "b", "*"),
			ServiceAccounts: drawValues(t, "a/x", "x"),
		}}
	}
	if rapid.Bool().Draw(t, "to") {
		r.To = []Operation{{
			Ports: drawValues(t, "1", "2", "none"), Methods: drawValues(t, "GET", "P*"), NotPaths: drawValues(t, "/a", "/a*", "/{*}"),
		}}
	}
	if rapid.Bool().Draw(t, "when") {
		r.When = []Condition{{Key: rapid.SampledFrom([]string{"request.headers[h]", "connection.sni", "bad"}).Draw(t, "key"), Values: drawValues(t, "v", "*")}}
	}
	return r
}

func drawPolicy(t *rapid.T, action Action) *Policy {
	return &Policy{Namespace: "n", Name: "p", Action: action, Rules: rapid.SliceOfN(rapid.Custom(drawRule), 0, 2).Draw(t, "rules")}
}

func drawPolicies(t *rapid.T) []*Policy {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Policy {
		return drawPolicy(t, rapid.SampledFrom([]Action{Allow, Deny, "AUDIT"}).Draw(t, "action"))
	}), 0, 3).Draw(t, "policies")
}

func drawRequest(t *rapid.T) Request {
	r := Request{
		HTTP: rapid.Bool().Draw(t, "http"), DestinationPort: rapid.Uint32Range(1, 3).Draw(t, "port"),
		SNI:    rapid.SampledFrom([]string{"", "v"}).Draw(t, "sni"),
		Method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
		Path:   rapid.SampledFrom([]string{"/", "/a", "/ab?c"}).Draw(t, "path"),
	}
	if id := rapid.SampledFrom([]string{"", "spiffe://td/ns/a/sa/x", "spiffe://td/ns/b/sa/y", "spiffe://td/odd"}).Draw(t, "peer"); id != "" {
		r.Peer = spiffeid.RequireFromString(id)
	}
	if rapid.Bool().Draw(t, "header") {
		r.Headers = map[string]string{"h": "v"}
	}
	return r
}

// One more DENY, or a policy of an unknown kind, never opens a door; the first
// ALLOW closes, and one more beside it never does.
func TestPoliciesOnlyNarrowAsTheyShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies, req := drawPolicies(t), drawRequest(t)
		judge := func(list ...*Policy) bool {
			set, _ := Compile(append(list, policies...))
			return set.Evaluate(req).Allowed
		}
		before := judge()
		if after := judge(drawPolicy(t, Deny)); after && !before {
			t.Fatal("a DENY let a request in")
		}
		if judge(drawPolicy(t, "CUSTOM")) {
			t.Fatal("a policy that can't be decided let a request in")
		}
		allow := drawPolicy(t, Allow)
		if one, two := judge(allow), judge(allow, drawPolicy(t, Allow)); one && !two {
			t.Fatal("one more ALLOW shut a request out")
		}
		if judge(&Policy{Action: Allow}) && !before {
			t.Fatal("an ALLOW without rules let a request in")
		}
	})
}

// The order in which policies come decides who is named, never the verdict.
func TestOrderDoesNotDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies, req := drawPolicies(t), drawRequest(t)
		set, _ := Compile(policies)
		turned, _ := Compile(rapid.Permutation(policies).Draw(t, "order"))
		if a, b := set.Evaluate(req), turned.Evaluate(req); a.Allowed != b.Allowed {
			t.Fatalf("%s, and in another order %s", a, b)
		}
	})
}

// What a client without an identity may do, policy by name must have meant: no
// rule that asks for a principal, a namespace or an account lets it in.
func TestNobodyIsNoPrincipal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SampledFrom([]Source{
			{Principals: []string{"*"}}, {Namespaces: []string{"*"}}, {ServiceAccounts: []string{"a/x"}},
			{Principals: []string{"td*"}, NotNamespaces: []string{"b"}},
		}).Draw(t, "source")
		req := drawRequest(t)
		req.Peer = spiffeid.ID{}
		set, err := Compile([]*Policy{{Action: Allow, Rules: []Rule{{From: []Source{source}}}}})
		if err != nil || set.Evaluate(req).Allowed {
			t.Fatalf("%+v let nobody in (%v)", source, err)
		}
	})
}
