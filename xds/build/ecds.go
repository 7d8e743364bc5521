package build

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// The authorization filters are resources of their own: one that changes takes
// effect with the next request of a live connection, where a change of the
// listener would wait until its connections have drained. They are there
// without any policy too, so that the first one is no change of the listener.
const (
	rbacHTTPDeny  = "rbac/http/deny"
	rbacHTTPAllow = "rbac/http/allow"
	rbacTCPDeny   = "rbac/tcp/deny"
	rbacTCPAllow  = "rbac/tcp/allow"

	statPrefixTCP = "tcp."
)

// rbacFilters are the four filters of a workload.
func rbacFilters(td spiffeid.TrustDomain, rules *authz.Ruleset, origins []mesh.Ref) []Resource {
	http, tcp := rules.HTTP(), rules.TCP()
	t := translator{trustDomain: td}
	return []Resource{
		extension(rbacHTTPDeny, &httprbacv3.RBAC{Rules: t.deny(http)}, origins),
		extension(rbacHTTPAllow, &httprbacv3.RBAC{Rules: t.allow(http)}, origins),
		extension(rbacTCPDeny, &tcprbacv3.RBAC{Rules: t.deny(tcp), StatPrefix: statPrefixTCP}, origins),
		extension(rbacTCPAllow, &tcprbacv3.RBAC{Rules: t.allow(tcp), StatPrefix: statPrefixTCP}, origins),
	}
}

func extension(name string, filter proto.Message, origins []mesh.Ref) Resource {
	return Resource{
		TypeURL: TypeExtension, Name: name, Origins: origins,
		Message: &corev3.TypedExtensionConfig{Name: name, TypedConfig: packed(filter)},
	}
}

// nobodyAllowed is a filter's configuration until its own has come.
func nobodyAllowed() *rbacv3.RBAC { return &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW} }

func discoveredHTTP(name string) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{
		ConfigDiscovery: discovered(&httprbacv3.RBAC{Rules: nobodyAllowed()}),
	}}
}

func discoveredTCP(name string) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_ConfigDiscovery{
		ConfigDiscovery: discovered(&tcprbacv3.RBAC{Rules: nobodyAllowed(), StatPrefix: statPrefixTCP}),
	}}
}

// discovered makes Envoy wait a little for the filter before it lets anybody
// in, so that a proxy that starts does not refuse what it should allow; after
// that, and for a resource that was taken away, it denies.
func discovered(denyAll proto.Message) *corev3.ExtensionConfigSource {
	config := packed(denyAll)
	source := adsSource()
	source.InitialFetchTimeout = durationpb.New(5e9)
	return &corev3.ExtensionConfigSource{
		ConfigSource: source, DefaultConfig: config, TypeUrls: []string{typeURL(config)},
	}
}

func typeURL(config *anypb.Any) string { return config.GetTypeUrl() }
