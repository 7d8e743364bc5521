package build

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// Istio's defaults: only what no server has begun to answer is tried again.
const (
	defaultRetryOn  = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
	defaultAttempts = 2
	// hostAttempts is how often another endpoint than the last is looked for.
	hostAttempts = 5
)

// retries is when a request is sent again; nil for never. Without a word of the
// user's it is twice.
func retries(in *networking.HTTPRetry) *routev3.RetryPolicy {
	out := &routev3.RetryPolicy{
		RetryOn: defaultRetryOn, NumRetries: wrapperspb.UInt32(defaultAttempts),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: packed(&previousv3.PreviousHostsPredicate{})},
		}},
		HostSelectionRetryMaxAttempts: hostAttempts,
	}
	if in == nil {
		return out
	}
	if in.GetAttempts() <= 0 {
		return nil
	}
	out.NumRetries = wrapperspb.UInt32(uint32(in.GetAttempts()))
	out.PerTryTimeout = in.GetPerTryTimeout()
	if d := in.GetBackoff(); d.AsDuration() > 0 {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: d}
	}
	if on := in.GetRetryOn(); on != "" {
		out.RetryOn, out.RetriableStatusCodes = retryOn(on)
	}
	if v := in.GetRetryIgnorePreviousHosts(); v != nil && !v.GetValue() {
		out.RetryHostPredicate, out.HostSelectionRetryMaxAttempts = nil, 0
	}
	return out
}

// retryOn splits Istio's list into Envoy's conditions and status codes.
func retryOn(list string) (string, []uint32) {
	var conditions []string
	var codes []uint32
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if code, err := strconv.ParseUint(part, 10, 32); err == nil {
			if code >= 100 && code < 600 {
				codes = append(codes, uint32(code))
			}
		} else if part != "" {
			conditions = append(conditions, part)
		}
	}
	if len(codes) > 0 {
		conditions = append(conditions, "retriable-status-codes")
	}
	return strings.Join(conditions, ","), codes
}
