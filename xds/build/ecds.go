package build

import (
	"time"

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
// without any policy too, so that the first one changes of the listener no more
// than when TCP ports connect to their application (see inboundTCP).
const (
	rbacHTTPDeny  = "rbac/http/deny"
	rbacHTTPAllow = "rbac/http/allow"
	rbacTCPDeny   = "rbac/tcp/deny"
	rbacTCPAllow  = "rbac/tcp/allow"

	statPrefixTCP = "tcp."
)

// policyWait is how long an Envoy that starts waits for its policies.
const policyWait = 5 * time.Second

// rbacFilters are the four filters of a workload.
func rbacFilters(td spiffeid.TrustDomain, rules *authz.Ruleset, origins []mesh.Ref) []Resource {
	http, tcp := rules.HTTP(), rules.TCP()
	t := translator{trustDomain: td}
	return []Resource{
		extension(rbacHTTPDeny, origins, httpRBAC, t.deny(http)), extension(rbacHTTPAllow, origins, httpRBAC, t.allow(http)),
		extension(rbacTCPDeny, origins, tcpRBAC, t.deny(tcp)), extension(rbacTCPAllow, origins, tcpRBAC, t.allow(tcp)),
	}
}

// extension is one filter. Rules that can't be written, for text that is not
// UTF-8, deny everything.
func extension(name string, origins []mesh.Ref, filter func(*rbacv3.RBAC) proto.Message, rules *rbacv3.RBAC) Resource {
	config := &anypb.Any{}
	if anypb.MarshalFrom(config, filter(rules), proto.MarshalOptions{Deterministic: true}) != nil {
		config = packed(filter(nobodyAllowed()))
	}
	return Resource{
		TypeURL: TypeExtension, Name: name, Origins: origins,
		Message: &corev3.TypedExtensionConfig{Name: name, TypedConfig: config},
	}
}

func httpRBAC(rules *rbacv3.RBAC) proto.Message { return &httprbacv3.RBAC{Rules: rules} }

func tcpRBAC(rules *rbacv3.RBAC) proto.Message {
	return &tcprbacv3.RBAC{Rules: rules, StatPrefix: statPrefixTCP}
}

// nobodyAllowed is a filter's configuration until its own has come.
func nobodyAllowed() *rbacv3.RBAC { return &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW} }

func discoveredHTTP(name string) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{
		ConfigDiscovery: discovered(httpRBAC(nobodyAllowed())),
	}}
}

func discoveredTCP(name string) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_ConfigDiscovery{
		ConfigDiscovery: discovered(tcpRBAC(nobodyAllowed())),
	}}
}

// discovered makes Envoy wait a little for the filter before it lets anybody
// in, so that a proxy that starts does not refuse what it should allow; after
// that, and for a resource that was taken away, it denies.
func discovered(denyAll proto.Message) *corev3.ExtensionConfigSource {
	config := packed(denyAll)
	source := adsSource()
	source.InitialFetchTimeout = durationpb.New(policyWait)
	return &corev3.ExtensionConfigSource{
		ConfigSource: source, DefaultConfig: config, TypeUrls: []string{config.TypeUrl},
	}
}
