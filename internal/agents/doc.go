// Package agents is the control plane's side of the agents' RPC
// (ensign.v1.AgentService).
//
// An agent keeps one stream open. Upwards it reports what its Envoy has
// acknowledged; a report is answered only after it is durable, because later
// gates decide by it. Downwards it is asked for pages of its Envoy's admin port.
// The [Registry] knows which agent is connected for which pod.
package agents
