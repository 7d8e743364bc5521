package build

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// changeHeaders adds the header operations to what a route, or one of its
// weighted clusters, has already.
func changeHeaders[T routev3.Route | routev3.WeightedCluster_ClusterWeight](to *T, in *networking.Headers) {
	request, response := in.GetRequest(), in.GetResponse()
	switch out := any(to).(type) {
	case *routev3.Route:
		out.RequestHeadersToAdd = append(out.RequestHeadersToAdd, additions(request)...)
		out.RequestHeadersToRemove = append(out.RequestHeadersToRemove, removals(request)...)
		out.ResponseHeadersToAdd = append(out.ResponseHeadersToAdd, additions(response)...)
		out.ResponseHeadersToRemove = append(out.ResponseHeadersToRemove, removals(response)...)
	case *routev3.WeightedCluster_ClusterWeight:
		out.RequestHeadersToAdd, out.RequestHeadersToRemove = additions(request), removals(request)
		out.ResponseHeadersToAdd, out.ResponseHeadersToRemove = additions(response), removals(response)
	}
}

func additions(in *networking.Headers_HeaderOperations) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	add := func(values map[string]string, how corev3.HeaderValueOption_HeaderAppendAction) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !isHost(name) {
				out = append(out, &corev3.HeaderValueOption{
					Header: &corev3.HeaderValue{Key: name, Value: literal(values[name])}, AppendAction: how,
				})
			}
		}
	}
	add(in.GetSet(), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	add(in.GetAdd(), corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	return out
}

func removals(in *networking.Headers_HeaderOperations) []string {
	return slices.DeleteFunc(slices.Clone(in.GetRemove()), isHost)
}

// isHost: Envoy refuses a configuration that changes this header like others; to
// set it in requests is to rewrite the host.
func isHost(name string) bool { return strings.EqualFold(name, "host") }

// hostHeader is the host that requests are to be sent with; "" for their own.
func hostHeader(in *networking.Headers) string {
	set := in.GetRequest().GetSet()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if isHost(name) {
			return set[name]
		}
	}
	return ""
}

// variable is what Envoy fills in, of the kind that can't be written wrong; Envoy
// refuses a whole configuration over one that it doesn't know.
var variable = regexp.MustCompile(`%(?:PROTOCOL|HOSTNAME|REQUESTED_SERVER_NAME|START_TIME|` +
	`(?:UP|DOWN)STREAM_(?:REMOTE|LOCAL)_ADDRESS(?:_WITHOUT_PORT)?|DOWNSTREAM_PEER_URI_SAN|REQ\([-A-Za-z0-9]+\))%`)

// literal is a header's value in Envoy's format: such variables stay, any other
// per cent sign means itself.
func literal(value string) string {
	var out strings.Builder
	for {
		at := variable.FindStringIndex(value)
		if at == nil {
			break
		}
		out.WriteString(strings.ReplaceAll(value[:at[0]], "%", "%%"))
		out.WriteString(value[at[0]:at[1]])
		value = value[at[1]:]
	}
	out.WriteString(strings.ReplaceAll(value, "%", "%%"))
	return out.String()
}
