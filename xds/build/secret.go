package build

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The secrets that the agent serves to its own Envoy, and the bootstrap's
// cluster that leads there.
const (
	secretSVID   = "default"
	secretBundle = "ROOTCA"
	sdsCluster   = "sds-grpc"
)

// adsSource is the stream that carries everything but secrets. What waits for it
// waits without limit: a listener without its routes would let everything through.
func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(0),
	}
}

// endpointSource is the same for endpoints. They are waited for as long as Envoy
// does by default: a cluster that waits for ever would hold up all later ones.
func endpointSource() *corev3.ConfigSource {
	source := adsSource()
	source.InitialFetchTimeout = nil
	return source
}

// secret refers to one of the agent's secrets. Envoy waits for it without limit:
// going on without would mean going on without TLS.
func secret(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: sdsCluster},
			}}},
		}},
		ResourceApiVersion:  corev3.ApiVersion_V3,
		InitialFetchTimeout: durationpb.New(0),
	}}
}
