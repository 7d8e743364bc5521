package xds

import "github.com/ensign-mesh/ensign/xds/build"

// kind is one type of resource, in the order in which types are sent.
type kind int

const (
	cluster kind = iota
	endpoint
	extension
	listener
	route
	virtualHost
	kinds int = iota
)

// types names each kind on the wire and in metrics.
var types = [kinds]struct{ url, label string }{
	cluster:     {build.TypeCluster, "cluster"},
	endpoint:    {build.TypeEndpoint, "endpoint"},
	extension:   {build.TypeExtension, "extension"},
	listener:    {build.TypeListener, "listener"},
	route:       {build.TypeRoute, "route"},
	virtualHost: {build.TypeVirtualHost, "virtual_host"},
}

func (k kind) url() string   { return types[k].url }
func (k kind) label() string { return types[k].label }

// byState says whether a state-of-the-world response of this type holds every
// resource, so that what is missing from it is removed.
func (k kind) byState() bool { return k == cluster || k == listener }

// legacyWildcard says whether a first request without names asks for everything.
func (k kind) legacyWildcard() bool { return k == cluster || k == listener || k == virtualHost }

// kindOf is the kind of a type URL; false for a type that is not served.
func kindOf(url string) (kind, bool) {
	for k, t := range types {
		if t.url == url {
			return kind(k), true
		}
	}
	return 0, false
}

// strangers are the types that known clients ask for though they are not
// served; every other one is counted as "other", so that a client can't make up
// label values.
var strangers = map[string]string{
	"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret": "secret",
	"type.googleapis.com/envoy.service.runtime.v3.Runtime":                 "runtime",
	"type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration":   "scoped_route",
	"type.googleapis.com/istio.networking.nds.v1.NameTable":                "nds",
	"type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig":                  "proxy_config",
	"type.googleapis.com/istio.v1.HealthInformation":                       "health",
	"type.googleapis.com/istio.workload.Address":                           "workload",
	"type.googleapis.com/istio.security.Authorization":                     "workload_authorization",
}

// stranger is the metric label of a type that is not served.
func stranger(url string) string {
	if label, ok := strangers[url]; ok {
		return label
	}
	return "other"
}
