package build

import (
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/authz"
)

// translator puts compiled rules into Envoy's words.
type translator struct{ trustDomain spiffeid.TrustDomain }

// deny refuses what one of the statements matches.
func (t translator) deny(table authz.Table) *rbacv3.RBAC {
	return &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: t.policies(table.Deny)}
}

// allow refuses what none of the statements matches; nil where all may pass.
func (t translator) allow(table authz.Table) *rbacv3.RBAC {
	if !table.Restricted {
		return nil
	}
	return &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: t.policies(table.Allow)}
}

func (t translator) policies(statements []authz.Statement) map[string]*rbacv3.Policy {
	out := make(map[string]*rbacv3.Policy, len(statements))
	for _, s := range statements {
		out[s.Name] = t.policy(s)
	}
	return out
}

// policy matches in Envoy when one permission and one principal do, so that what
// `when` asks stands in each of them.
func (t translator) policy(s authz.Statement) *rbacv3.Policy {
	var ofCall, ofCaller authz.Conjunction
	for _, clause := range s.When {
		if clause.Attribute().OfSource() {
			ofCaller = append(ofCaller, clause)
		} else {
			ofCall = append(ofCall, clause)
		}
	}
	p := &rbacv3.Policy{}
	for _, to := range orEmpty(s.To) {
		p.Permissions = append(p.Permissions, allOf(permissionWords, t.permission, to, ofCall))
	}
	for _, from := range orEmpty(s.From) {
		p.Principals = append(p.Principals, allOf(principalWords, t.principal, from, ofCaller))
	}
	return p
}

func orEmpty(list []authz.Conjunction) []authz.Conjunction {
	if len(list) == 0 {
		return []authz.Conjunction{nil}
	}
	return list
}

// words are how one of Envoy's two kinds of conditions says any, not, and, or.
type words[T any] struct {
	any     func() T
	not     func(T) T
	and, or func([]T) T
}

// allOf is one condition that holds when all clauses do.
func allOf[T any](w words[T], one func(authz.Match) T, lists ...authz.Conjunction) T {
	var all []T
	for _, list := range lists {
		for _, clause := range list {
			if len(clause.Any) > 0 {
				all = append(all, anyOf(w, one, clause.Any))
			}
			if len(clause.None) > 0 {
				all = append(all, w.not(anyOf(w, one, clause.None)))
			}
		}
	}
	switch len(all) {
	case 0:
		return w.any()
	case 1:
		return all[0]
	}
	return w.and(all)
}

func anyOf[T any](w words[T], one func(authz.Match) T, matches []authz.Match) T {
	var all []T
	for _, m := range matches {
		all = append(all, one(m))
	}
	if len(all) == 1 {
		return all[0]
	}
	return w.or(all)
}
