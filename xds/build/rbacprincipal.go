package build

import (
	"regexp"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/ensign-mesh/ensign/authz"
)

const scheme = "spiffe://"

var principalWords = words[*rbacv3.Principal]{
	any: func() *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
	},
	not: func(p *rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: p}}
	},
	and: func(all []*rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: all}}}
	},
	or: func(all []*rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: all}}}
	},
}

// principal is a match of an attribute of the caller. Without a verified
// certificate no name matches.
func (t translator) principal(m authz.Match) *rbacv3.Principal {
	switch m.Attribute {
	case authz.SourceIP:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: cidr(m.Net)}}
	case authz.RemoteIP:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: cidr(m.Net)}}
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
		Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: t.name(m)},
	}}
}

// name matches a SPIFFE ID. The listener takes IDs of the trust domain alone, so
// that a namespace is a prefix; expressions are left to the one case that needs
// it, as Envoy refuses long ones.
func (t translator) name(m authz.Match) *matcherv3.StringMatcher {
	namespaces := t.trustDomain.IDString() + "/ns/"
	switch {
	case m.Attribute == authz.SourceServiceAccount:
		return exactText(namespaces + strings.Replace(m.Value, "/", "/sa/", 1))
	case m.Attribute == authz.SourceNamespace:
		switch m.Op {
		case authz.Exact:
			return prefixText(namespaces + m.Value + "/")
		case authz.Suffix:
			return matchExpression("spiffe://[^/]+/ns/[^/]*" + regexp.QuoteMeta(m.Value) + "/sa/[^/]+")
		}
		return prefixText(namespaces + m.Value) // the beginning of a name, or any
	case m.Op == authz.Suffix:
		return matchText(m)
	case m.Op == authz.Exact:
		return exactText(scheme + m.Value)
	}
	return prefixText(scheme + m.Value)
}

func exactText(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

func prefixText(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: value}}
}
