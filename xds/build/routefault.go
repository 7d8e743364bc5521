package build

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"
)

const faultFilter = "envoy.filters.http.fault"

// addFault makes a share of the route's requests slow or fail; the listener's
// fault filter does it. Without a percentage, as in Istio, none.
func addFault(out *routev3.Route, in *networking.HTTPFaultInjection) {
	fault := &faultv3.HTTPFault{Delay: delay(in.GetDelay()), Abort: abort(in.GetAbort())}
	if fault.Delay != nil || fault.Abort != nil {
		out.TypedPerFilterConfig = map[string]*anypb.Any{faultFilter: packed(fault)}
	}
}

func delay(in *networking.HTTPFaultInjection_Delay) *commonfaultv3.FaultDelay {
	if in.GetFixedDelay().AsDuration() <= 0 {
		return nil
	}
	return &commonfaultv3.FaultDelay{
		FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: in.GetFixedDelay()},
		Percentage:         share(in.GetPercentage()),
	}
}

func abort(in *networking.HTTPFaultInjection_Abort) *faultv3.FaultAbort {
	out := &faultv3.FaultAbort{Percentage: share(in.GetPercentage())}
	switch v := in.GetErrorType().(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		out.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(v.HttpStatus)}
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		var code codes.Code
		if code.UnmarshalJSON([]byte(strconv.Quote(v.GrpcStatus))) != nil {
			code = codes.Unavailable // still an error, though not the one that was misspelled
		}
		out.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: uint32(code)}
	default:
		return nil
	}
	return out
}

// share is a percentage in parts of a million.
func share(p *networking.Percent) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(p.GetValue() * 10_000), Denominator: typev3.FractionalPercent_MILLION}
}

func runtimeShare(p *networking.Percent) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: share(p)}
}
