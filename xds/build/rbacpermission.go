package build

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/authz"
)

var permissionWords = words[*rbacv3.Permission]{
	any: func() *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
	},
	not: func(p *rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: p}}
	},
	and: func(all []*rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: all}}}
	},
	or: func(all []*rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: all}}}
	},
}

// permission is a match of an attribute of the call.
func (t translator) permission(m authz.Match) *rbacv3.Permission {
	switch m.Attribute {
	case authz.DestinationPort:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: m.Port}}
	case authz.DestinationIP:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: cidr(m.Net)}}
	case authz.SNI:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: matchText(m)}}
	case authz.Path:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
			Rule: &matcherv3.PathMatcher_Path{Path: matchText(m)},
		}}}
	case authz.Host:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: matchHeader(":authority", m)}}
	case authz.Method:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: matchHeader(":method", m)}}
	default:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: matchHeader(m.Header, m)}}
	}
}

func matchHeader(name string, m authz.Match) *routev3.HeaderMatcher {
	if m.Op == authz.Present {
		return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	}
	match := matchText(m)
	match.IgnoreCase = m.Attribute == authz.Host // names of hosts have no case
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: match}}
}

func matchText(m authz.Match) *matcherv3.StringMatcher {
	switch m.Op {
	case authz.Exact:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: m.Value}}
	case authz.Prefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: m.Value}}
	case authz.Suffix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: m.Value}}
	case authz.Contains:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: m.Value}}
	}
	return matchExpression(".+")
}

func matchExpression(expression string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: expression},
	}}
}

func cidr(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}
