package build

import (
	"math/big"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// Envoy's limits on the sizes, and Istio's default.
const (
	defaultRing = 1024
	maxRing     = 8 << 20
	maxTable    = 5_000_011
)

// hashing sends equal requests to the same endpoint. What is hashed stands in
// the cluster, not in the routes that lead to it: they need not know of the rule.
func hashing(in *networking.LoadBalancerSettings_ConsistentHashLB) *clusterv3.LoadBalancingPolicy {
	config := &commonv3.ConsistentHashingLbConfig{}
	if policy := hashed(in); policy != nil {
		config.HashPolicy = []*routev3.RouteAction_HashPolicy{policy}
	}
	if m := in.GetMaglev(); m != nil {
		return policyOf("maglev", &maglevv3.Maglev{ConsistentHashingLbConfig: config, TableSize: tableSize(m.GetTableSize())})
	}
	return policyOf("ring_hash", &ringv3.RingHash{
		ConsistentHashingLbConfig: config, MinimumRingSize: wrapperspb.UInt64(ringSize(in.GetRingHash().GetMinimumRingSize())),
	})
}

func policyOf(name string, m proto.Message) *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{Name: "envoy.load_balancing_policies." + name, TypedConfig: packed(m)},
	}}}
}

func ringSize(n uint64) uint64 {
	if n == 0 {
		return defaultRing
	}
	return min(n, maxRing)
}

// tableSize is nil, Envoy's default, for what Envoy refuses: it wants a prime.
func tableSize(n uint64) *wrapperspb.UInt64Value {
	if n > maxTable || !new(big.Int).SetUint64(n).ProbablyPrime(0) {
		return nil
	}
	return wrapperspb.UInt64(n)
}

// hashed is what of a request is hashed; nil for nothing, then any endpoint will do.
func hashed(in *networking.LoadBalancerSettings_ConsistentHashLB) *routev3.RouteAction_HashPolicy {
	switch {
	case in.GetHttpHeaderName() != "":
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: in.GetHttpHeaderName()},
		}}
	case in.GetHttpCookie().GetName() != "":
		cookie := in.GetHttpCookie()
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Cookie_{
			Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: cookie.GetName(), Path: cookie.GetPath(), Ttl: cookie.GetTtl()},
		}}
	case in.GetHttpQueryParameterName() != "":
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: in.GetHttpQueryParameterName()},
		}}
	case in.GetUseSourceIp():
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
		}}
	default:
		return nil
	}
}
