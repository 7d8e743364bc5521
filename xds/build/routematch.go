package build

import (
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// match is what a request must look like; nil matches all.
func match(m *networking.HTTPMatchRequest) *routev3.RouteMatch {
	out := anyPath()
	switch uri := m.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: uri.Exact}
	case *networking.StringMatch_Prefix: // of the text, not of whole segments, as in Istio
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: uri.Prefix}
	case *networking.StringMatch_Regex:
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regexMatch(uri.Regex)}
	}
	if m.GetIgnoreUriCase() && m.GetUri().GetRegex() == "" {
		out.CaseSensitive = wrapperspb.Bool(false)
	}
	for _, pseudo := range []struct {
		name  string
		value *networking.StringMatch
	}{{":method", m.GetMethod()}, {":authority", m.GetAuthority()}, {":scheme", m.GetScheme()}} {
		if pseudo.value.GetMatchType() != nil {
			out.Headers = append(out.Headers, headerMatch(pseudo.name, pseudo.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetHeaders())) {
		out.Headers = append(out.Headers, headerMatch(name, m.GetHeaders()[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetWithoutHeaders())) {
		out.Headers = append(out.Headers, headerMismatch(name, m.GetWithoutHeaders()[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetQueryParams())) {
		out.QueryParameters = append(out.QueryParameters, queryMatch(name, m.GetQueryParams()[name]))
	}
	return out
}

// matchesAll says whether a match holds for every request that gets to it.
func matchesAll(m *networking.HTTPMatchRequest) bool {
	uri := m.GetUri()
	return (uri.GetMatchType() == nil || uri.GetPrefix() == "/") &&
		m.GetMethod() == nil && m.GetAuthority() == nil && m.GetScheme() == nil &&
		len(m.GetHeaders())+len(m.GetWithoutHeaders())+len(m.GetQueryParams()) == 0
}

// headerMatch matches a header's value, or with an empty match its presence.
func headerMatch(name string, value *networking.StringMatch) *routev3.HeaderMatcher {
	out := &routev3.HeaderMatcher{Name: name}
	if text := textMatch(value); text != nil {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: text}
	} else {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	}
	return out
}

// headerMismatch is the opposite; a request that lacks the header passes.
func headerMismatch(name string, value *networking.StringMatch) *routev3.HeaderMatcher {
	out := headerMatch(name, value)
	out.InvertMatch = true
	out.TreatMissingHeaderAsEmpty = out.GetStringMatch() != nil
	return out
}

func queryMatch(name string, value *networking.StringMatch) *routev3.QueryParameterMatcher {
	out := &routev3.QueryParameterMatcher{Name: name}
	if text := textMatch(value); text != nil {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: text}
	} else {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
	}
	return out
}

// textMatch is Envoy's matcher of a text; nil for an empty match.
func textMatch(m *networking.StringMatch) *matcherv3.StringMatcher {
	switch v := m.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v.Exact}}
	case *networking.StringMatch_Prefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: v.Prefix}}
	case *networking.StringMatch_Regex:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regexMatch(v.Regex)}}
	default:
		return nil
	}
}

func regexMatch(expr string) *matcherv3.RegexMatcher { return &matcherv3.RegexMatcher{Regex: expr} }
