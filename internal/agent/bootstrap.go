package agent

import (
	"encoding/json"
	"fmt"
)

// The names by which Envoy's configuration means the agent's sockets.
const (
	clusterADS  = "xds-grpc"
	clusterSDS  = "sds-grpc"
	clusterLogs = "als-grpc"
)

// The API level of Istio that the control plane speaks; tools read it off the node.
const istioVersion = "1.31.1"

// tree is a piece of JSON. The bootstrap is written as JSON, which is YAML, from
// plain maps: Envoy's own types for it would cost more memory than all the rest.
type tree = map[string]any

// bootstrap is Envoy's, the same bytes for the same settings.
func (s *settings) bootstrap() ([]byte, error) {
	ads := tree{"ads": tree{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	text, err := json.MarshalIndent(tree{
		"node": tree{"id": s.nodeID(), "cluster": s.name + "." + s.namespace, "metadata": s.metadata()},
		"admin": tree{"address": tree{"socket_address": tree{
			"address": s.admin.Addr().String(), "port_value": s.admin.Port(),
		}}},
		"dynamic_resources": tree{
			"ads_config": tree{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3",
				// The node is some 60 KB; once a stream is enough.
				"set_node_on_first_message_only": true,
				"grpc_services": []tree{{"envoy_grpc": tree{"cluster_name": clusterADS, "retry_policy": tree{
					// By itself Envoy comes back after up to 30 s, to a control plane that
					// was away for a moment; both ends are jittered.
					"retry_back_off": tree{"base_interval": "0.5s", "max_interval": "5s"},
				}}}},
			},
			"lds_config": ads,
			"cds_config": ads,
		},
		"static_resources": tree{"clusters": []tree{
			socketCluster(clusterADS, s.path("xds.sock")),
			socketCluster(clusterSDS, s.path("sds.sock")),
			socketCluster(clusterLogs, s.path("log.sock")),
		}},
		// Paths and headers of policies and routes may be long regular expressions.
		"layered_runtime":       tree{"layers": []tree{{"name": "static", "static_layer": tree{"re2.max_program_size.error_level": 32768}}}},
		"deferred_stat_options": tree{"enable_deferred_creation_stats": true},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding bootstrap: %w", err)
	}
	return append(text, '\n'), nil
}

func (s *settings) metadata() tree {
	metadata := tree{
		"NAME": s.name, "NAMESPACE": s.namespace, "INSTANCE_IPS": s.ip.String(),
		"ISTIO_VERSION": istioVersion,
	}
	if len(s.Labels) > 0 {
		metadata["LABELS"] = s.Labels
	}
	return metadata
}

// socketCluster is a static HTTP/2 cluster of one Unix socket.
func socketCluster(name, path string) tree {
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return tree{
		"name": name, "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": tree{options: tree{
			"@type":                "type.googleapis.com/" + options,
			"explicit_http_config": tree{"http2_protocol_options": tree{}},
		}},
		"load_assignment": tree{"cluster_name": name, "endpoints": []tree{{"lb_endpoints": []tree{{
			"endpoint": tree{"address": tree{"pipe": tree{"path": path}}},
		}}}}},
	}
}
