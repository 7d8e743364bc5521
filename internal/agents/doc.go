// Package agents is the control plane's side of the agents' RPC
// (ensign.v1.AgentService).
//
// An agent keeps one stream open. Upwards it reports what its Envoy has
// acknowledged, how far it follows what is cut off, and whom its Envoy met; a report
// is answered only after it is durable, because later gates decide by it, and with
// the ledger's checkpoint, which the agent holds against the one that it kept. For which
// pods a caller may speak, [Nodes] says, for each message anew.
// Downwards it is told who is cut off ([Orders]), first of all, and what is to be
// trusted ([Roots]), each again whenever it changes; it is asked for another SVID, and
// for pages of its Envoy's admin port. Each stream has
// goroutines of its own, so that an agent that does not read delays no other. The
// [Registry] knows which agent is connected for which pod; once a later stream of a pod
// has reported, an earlier one is not heard any more.
package agents
