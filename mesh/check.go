package mesh

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
)

var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// checkOne checks one message of an Istio spec by its type alone: enough that
// Envoy takes what is made of it.
func checkOne(m proto.Message, field string, f *findings) {
	switch m := m.(type) {
	case *durationpb.Duration:
		checkDuration(m, field, f)
	case *networking.StringMatch:
		checkStringMatch(m, field, f)
	case *networking.Destination:
		checkDestination(m, field, f)
	case *networking.HTTPRouteDestination:
		checkPresent(m.GetDestination() != nil, field+".destination", f)
	case *networking.RouteDestination:
		checkPresent(m.GetDestination() != nil, field+".destination", f)
	case *networking.HTTPMirrorPolicy:
		checkPresent(m.GetDestination() != nil, field+".destination", f)
	case *networking.PortSelector:
		checkPort(m.GetNumber(), field+".number", f)
	case *networking.HTTPMatchRequest:
		checkHeaderNames(slices.Sorted(maps.Keys(m.GetHeaders())), field+".headers", f)
		checkHeaderNames(slices.Sorted(maps.Keys(m.GetWithoutHeaders())), field+".withoutHeaders", f)
		checkOptionalPort(m.GetPort(), field+".port", f)
	case *networking.Headers_HeaderOperations:
		checkHeaderNames(slices.Sorted(maps.Keys(m.GetSet())), field+".set", f)
		checkHeaderNames(slices.Sorted(maps.Keys(m.GetAdd())), field+".add", f)
		checkHeaderNames(m.GetRemove(), field+".remove", f)
	case *networking.RegexRewrite:
		checkRegex(m.GetMatch(), field+".match", f)
	case *networking.Percent:
		if v := m.GetValue(); !(v >= 0 && v <= 100) {
			f.fail(field+".value", "write a number from 0 to 100", "%v is not a percentage", v)
		}
	case *networking.HTTPDirectResponse:
		checkRange(int64(m.GetStatus()), 200, 599, field+".status", f)
	case *networking.HTTPFaultInjection_Abort:
		if _, ok := m.GetErrorType().(*networking.HTTPFaultInjection_Abort_HttpStatus); ok {
			checkRange(int64(m.GetHttpStatus()), 200, 599, field+".httpStatus", f)
		}
	case *networking.HTTPRetry:
		checkRange(int64(m.GetAttempts()), 0, 1<<16, field+".attempts", f)
	case *networking.OutlierDetection:
		checkRange(int64(m.GetMaxEjectionPercent()), 0, 100, field+".maxEjectionPercent", f)
		checkRange(int64(m.GetMinHealthPercent()), 0, 100, field+".minHealthPercent", f)
	case *networking.ConnectionPoolSettings_TCPSettings:
		checkRange(int64(m.GetMaxConnections()), 0, 1<<31-1, field+".maxConnections", f)
	case *networking.ConnectionPoolSettings_HTTPSettings:
		checkPool(m, field, f)
	case *networking.LoadBalancerSettings_ConsistentHashLB:
		if name := m.GetHttpHeaderName(); name != "" {
			checkHeaderNames([]string{name}, field+".httpHeaderName", f)
		}
	case *networking.WorkloadEntry:
		checkRange(int64(m.GetWeight()), 0, 1<<16, field+".weight", f)
	}
}

func checkPool(m *networking.ConnectionPoolSettings_HTTPSettings, field string, f *findings) {
	const top = 1<<31 - 1
	checkRange(int64(m.GetHttp1MaxPendingRequests()), 0, top, field+".http1MaxPendingRequests", f)
	checkRange(int64(m.GetHttp2MaxRequests()), 0, top, field+".http2MaxRequests", f)
	checkRange(int64(m.GetMaxRequestsPerConnection()), 0, top, field+".maxRequestsPerConnection", f)
	checkRange(int64(m.GetMaxRetries()), 0, top, field+".maxRetries", f)
	checkRange(int64(m.GetMaxConcurrentStreams()), 0, top, field+".maxConcurrentStreams", f)
}

// checkDuration: 0 means "none" in a timeout and is allowed; a day short of
// 10 years is the most that Envoy's timers are asked for.
func checkDuration(d *durationpb.Duration, field string, f *findings) {
	switch v := d.AsDuration(); {
	case d.CheckValid() != nil:
		f.fail(field, "write a duration such as 5s", "the duration is out of range")
	case v < 0:
		f.fail(field, "write a positive duration such as 5s", "%v is negative", v)
	case v > 0 && v < time.Millisecond:
		f.fail(field, "write 1ms or more", "%v is too short", v)
	case v > 10*365*24*time.Hour:
		f.fail(field, "write a shorter duration, or none", "%v is too long", v)
	}
}

func checkStringMatch(m *networking.StringMatch, field string, f *findings) {
	switch t := m.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		if t.Prefix == "" {
			f.fail(field+".prefix", "write the prefix, or remove the match", "the prefix is empty")
		}
	case *networking.StringMatch_Regex:
		checkRegex(t.Regex, field+".regex", f)
	}
}

func checkDestination(d *networking.Destination, field string, f *findings) {
	if err := checkHost(d.GetHost(), false); err != nil {
		f.fail(field+".host", "write a service's name or a full DNS name", "host %v", err)
	}
	if s := d.GetSubset(); s != "" && !dnsLabel.MatchString(s) {
		f.fail(field+".subset", "write the name of a subset of the host's DestinationRule", "%q is not a subset name", s)
	}
}

func checkPresent(present bool, field string, f *findings) {
	if !present {
		f.fail(field, "name the host to send to", "there is no destination")
	}
}

func checkHeaderNames(names []string, field string, f *findings) {
	for _, name := range names {
		if !headerName.MatchString(name) {
			f.fail(field+"["+name+"]", "write a header name of letters, digits and -", "%q is not a header name", name)
		}
	}
}

func checkPort(port uint32, field string, f *findings) { checkRange(int64(port), 1, 65535, field, f) }

func checkOptionalPort(port uint32, field string, f *findings) {
	checkRange(int64(port), 0, 65535, field, f)
}

func checkRange(v, low, high int64, field string, f *findings) {
	if v < low || v > high {
		f.fail(field, fmt.Sprintf("write a number from %d to %d", low, high), "%d is out of range", v)
	}
}
