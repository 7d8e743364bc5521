package build

import "github.com/ensign-mesh/ensign/mesh"

// Ports are, sorted, the ports for which [Port] has something in this scope.
func Ports(s *mesh.Snapshot, sc Scope) []uint32 { return nil }

// Port is what the scope's sidecars listen on for one service port: the HTTP
// listener 0.0.0.0_PORT with its RouteConfiguration PORT, and a TCP listener
// VIP_PORT for each TCP service, or IP_PORT for each endpoint of a headless one.
//
// The RouteConfiguration takes its virtual hosts from VHDS over ADS when
// sc.VHDS, besides the static catch-all; else it holds them.
//
// It reads the Services in Ports[port], the TCP routes that cover them, Config,
// for headless TCP services (no Addresses) the addresses in Endpoints, and,
// when !sc.VHDS, all that VirtualHosts reads for each host of the port.
func Port(s *mesh.Snapshot, sc Scope, port uint32) []Resource { return nil }
