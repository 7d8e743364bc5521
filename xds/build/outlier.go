package build

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// eject sets when an endpoint is taken out for its errors; never without a rule.
func eject(c *clusterv3.Cluster, o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	out := &clusterv3.OutlierDetection{
		Interval: some(o.GetInterval()), BaseEjectionTime: some(o.GetBaseEjectionTime()),
		EnforcingSuccessRate:           wrapperspb.UInt32(0),
		SplitExternalLocalOriginErrors: o.GetSplitExternalLocalOriginErrors(),
	}
	if v := o.GetConsecutive_5XxErrors(); v != nil {
		out.Consecutive_5Xx, out.EnforcingConsecutive_5Xx = v, enforced(v)
	}
	if v := o.GetConsecutiveGatewayErrors(); v != nil {
		out.ConsecutiveGatewayFailure, out.EnforcingConsecutiveGatewayFailure = v, enforced(v)
	}
	if v := o.GetConsecutiveLocalOriginFailures(); v != nil {
		out.ConsecutiveLocalOriginFailure, out.EnforcingConsecutiveLocalOriginFailure = v, enforced(v)
	}
	if v := o.GetMaxEjectionPercent(); v > 0 {
		out.MaxEjectionPercent = wrapperspb.UInt32(uint32(v))
	}
	c.OutlierDetection = out
	// Below this share of healthy endpoints all are used; 0 turns that off, as in Istio.
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: float64(o.GetMinHealthPercent())}}
}

// enforced is 100 % of a detection that is on, 0 of one that the rule turns off.
func enforced(v *wrapperspb.UInt32Value) *wrapperspb.UInt32Value {
	if v.GetValue() == 0 {
		return wrapperspb.UInt32(0)
	}
	return wrapperspb.UInt32(100)
}
