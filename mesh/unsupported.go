package mesh

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
)

// unsupported are the fields of routes and rules that are taken and not obeyed,
// by their full proto name (a map by its entry), and what holds instead.
var unsupported = map[protoreflect.FullName]string{
	"VirtualService.tls":                                      "the connections go to the service that was called",
	"HTTPRoute.delegate":                                      "requests that match are answered with 503",
	"HTTPRoute.cors_policy":                                   "requests of browsers from other origins are left to the application",
	"HTTPMatchRequest.SourceLabelsEntry":                      "the match never holds",
	"L4MatchAttributes.SourceLabelsEntry":                     "the match never holds",
	"L4MatchAttributes.source_subnet":                         "the match never holds",
	"L4MatchAttributes.destination_subnets":                   "the match never holds",
	"HTTPRedirect.derive_port":                                "the port of the request stays",
	"HTTPFaultInjection.Abort.http2_error":                    "no request is aborted",
	"HTTPFaultInjection.Delay.percent":                        "no request is delayed; write percentage.value",
	"LoadBalancerSettings.locality_lb_setting":                "all healthy endpoints are used alike",
	"LoadBalancerSettings.warmup":                             "new endpoints get their full share at once",
	"LoadBalancerSettings.warmup_duration_secs":               "new endpoints get their full share at once",
	"TrafficPolicy.tunnel":                                    "connections are made without a tunnel",
	"TrafficPolicy.proxy_protocol":                            "connections start without its header",
	"ConnectionPoolSettings.TCPSettings.idle_timeout":         "idle connections stay open for an hour",
	"ConnectionPoolSettings.HTTPSettings.use_client_protocol": "the port's protocol is spoken",
	"HTTPRetry.retry_remote_localities":                       "endpoints of all localities are tried",
}

const istioNetworking = "istio.networking.v1alpha3."

// noteUnsupported says which parts of a route or rule will not be obeyed. The
// rest of it is in force.
func noteUnsupported(spec proto.Message, f *findings) {
	eachMessage(spec, "spec", func(path string, m proto.Message) {
		if m == nil {
			return
		}
		noted := protoreflect.FullName("")
		eachField(m.ProtoReflect(), path, func(path string, d protoreflect.FieldDescriptor, _ protoreflect.Value) {
			name := d.FullName()
			if d.ContainingMessage().IsMapEntry() {
				name = d.ContainingMessage().FullName()
			}
			if instead := unsupported[short(name)]; instead != "" && noted != name {
				noted = name
				f.note(path, "remove it", "it is not supported: %s", instead)
			}
		})
		noteValues(m, path, f)
	})
}

func short(name protoreflect.FullName) protoreflect.FullName {
	return name[min(len(name), len(istioNetworking)):]
}

// noteValues is the same for fields of which only some values are not supported.
func noteValues(m proto.Message, path string, f *findings) {
	switch m := m.(type) {
	case *networking.ClientTLSSettings:
		if mode := m.GetMode(); mode == networking.ClientTLSSettings_SIMPLE || mode == networking.ClientTLSSettings_MUTUAL {
			f.note(path+".mode", "write ISTIO_MUTUAL or DISABLE", "mode %s is not supported: until then no server is spoken to", mode)
		}
	case *networking.LoadBalancerSettings:
		if m.GetSimple() == networking.LoadBalancerSettings_PASSTHROUGH {
			f.note(path+".simple", "remove it", "PASSTHROUGH is not supported: endpoints are picked as by default")
		}
	}
}
