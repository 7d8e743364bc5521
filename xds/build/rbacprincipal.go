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
	case authz.SourceServiceAccount:
		return named(exactText(t.namespaces() + strings.Replace(m.Value, "/", "/sa/", 1)))
	case authz.SourceNamespace:
		return t.inNamespace(m)
	}
	return withID(m)
}

func (t translator) namespaces() string { return t.trustDomain.IDString() + "/ns/" }

// inNamespace matches service accounts alone: an ID that has more or less to it
// is of no namespace. The listener takes IDs of the trust domain alone, so that a
// namespace is a prefix; expressions stay short, as Envoy refuses long ones.
func (t translator) inNamespace(m authz.Match) *rbacv3.Principal {
	if strings.Contains(m.Value, "/") {
		return principalWords.not(principalWords.any()) // as a prefix it would reach further
	}
	var name *matcherv3.StringMatcher
	switch m.Op {
	case authz.Exact:
		name = prefixText(t.namespaces() + m.Value + "/sa/")
	case authz.Suffix:
		return named(matchExpression("spiffe://[^/]+/ns/[^/]*" + regexp.QuoteMeta(m.Value) + "/sa/[^/]+"))
	default: // the beginning of a name, or any
		name = prefixText(t.namespaces() + m.Value)
	}
	account := matchExpression("spiffe://[^/]+/ns/[^/]+/sa/[^/]+")
	return principalWords.and([]*rbacv3.Principal{named(name), named(account)})
}

// withID matches the SPIFFE ID as policies write it, without its scheme.
func withID(m authz.Match) *rbacv3.Principal {
	if m.Op != authz.Suffix {
		m.Value = scheme + m.Value
		if m.Op == authz.Exact {
			return named(exactText(m.Value))
		}
		return named(prefixText(m.Value))
	}
	// A suffix must not reach into the scheme, neither over both of its slashes
	// nor over the second.
	switch {
	case strings.Contains(m.Value, "//"):
		return principalWords.not(principalWords.any())
	case strings.HasPrefix(m.Value, "/"):
		return principalWords.and([]*rbacv3.Principal{
			named(matchText(m)), principalWords.not(named(exactText("spiffe:/" + m.Value))),
		})
	}
	return named(matchText(m))
}

func named(id *matcherv3.StringMatcher) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
		Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: id},
	}}
}

func exactText(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

func prefixText(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: value}}
}
