// Package build makes Envoy resources of a mesh snapshot.
//
// Every function is pure: the same snapshot and scope give the same messages.
// Which function must run again after a change is the caller's business
// (package xds), so each takes the smallest unit that can change alone: one
// host, one port, one workload's inbound side.
//
// Outbound, for a [Scope]: [Base] once, [Port] for each of [Ports], [Clusters],
// [Endpoints] and [VirtualHosts] for each host; hosts of equal [Visibility] are
// built once for several scopes. Inbound: [Inbound] for each group of workloads,
// and [Denials] once for all. Names are Istio's.
//
// Every listener of mTLS records whose its connections are for the agent beside
// Envoy, through the cluster als-grpc of the agent's bootstrap: an Envoy without
// that cluster refuses them.
//
// # What is known to fall short
//
//   - Envoy asks a TCP policy with the client's first byte (envoyproxy/envoy#9023),
//     in Istio's sidecars too late for what a server says unasked. Here the
//     application is not connected before, on TCP ports where a policy can refuse
//     anybody: a protocol in which the server speaks first hangs there, for those
//     who are allowed too. It works on all other ports. The first policy that
//     guards a port, and the last that goes, change the listener: connections of
//     that port's chains drain.
//   - Who is cut off is refused on TCP with the client's first byte, too: where no
//     policy guards the port, it may hear what a server says unasked, until its
//     agent's Envoy has named the connection (50 ms) and the agent ends it.
//   - Denied certificates are compared one after the other, with every request.
//   - A server in quarantine is dropped from what clients know; a client that
//     connects to its address all the same, past every service, still may.
//   - Protocols are not guessed: a port that names none is TCP, so rules about
//     HTTP do not hold there: in an ALLOW they match nothing, in a DENY all else
//     of the rule decides.
//   - On a number on which some service's port is HTTP, every address takes HTTP
//     and hands TLS on; another protocol passes only to a TCP service of its own.
//   - Of routes and rules, what package mesh notes as not supported is not obeyed;
//     what it stands for fails on its own, never a server's proof of its name.
//   - A scope is a namespace: a match by the labels of the client's pod never holds.
//   - The endpoints of a headless TCP service are listened for on the service's
//     port, also where the pods' is another.
//   - Where ServiceEntries claim one address, the first host by name has it: their
//     age is not known here.
//   - Envoy is told where endpoints are, and does not prefer the near ones.
//   - The listeners that capture leads to (15001, 15006) and those of HTTP ports
//     take IPv4 alone.
package build
