// Package ensignv1 is the part of the wire that no existing API covers, generated from the
// two .proto files here by generate.sh: what an agent reports about the Envoy beside it and
// is told (AgentService, agent.proto), and what people ask of the control plane
// (AdminService, admin.proto). What each field means, its shape and its unit, stands there.
package ensignv1
