// Package xds serves Envoy's configuration: it decides what each proxy must be
// told, in which order, and remembers what each has accepted.
//
//	snapshot + change set ── Update ──► units ──► views ──► sessions ──► Envoy
//	                                   (built     (what a    (what one
//	                                    once)      scope      client has)
//	                                               sees)
//
// A unit is the smallest piece that can change alone: one host's clusters, its
// endpoints or its virtual hosts, one port, one workload group. The package
// build makes a unit's resources; this package encodes each of them once, names
// it by the hash of its content, and shares the bytes between all scopes that
// see the same and all proxies of a scope. A view is the set of resources of one
// scope with a log of the names that changed, so that a session looks only at
// those.
//
// A session is one client's stream. One goroutine owns it: it compares what the
// client has with what it should have, and sends the difference in
// make-before-break order (clusters and their endpoints, filters, listeners,
// routes, virtual hosts; removals last, see lingers). It waits for the client's
// answer before it sends more of the same type. Endpoints that run as a new identity wait until
// the client has accepted the cluster that knows the identity.
//
// Who a client is comes from the proof that came with its stream
// ([identity.CallerFrom]); its node.id only says which pod of that identity it is,
// and is checked on every message. A pod that speaks for itself alone ([Config].Free) is
// not to be had by a proof that is bound to no pod.
//
// A refused resource is not sent again to the client that refused it. When two
// identities of one Envoy version refuse the same content, it is held back from
// the rest of that version until it changes or [Server.Release] says otherwise;
// not so the listeners virtualInbound and virtualOutbound, without which a proxy
// serves nothing, nor for the denials.
//
// Who is cut off ([mesh.Denied]) is told to all by two filters of their own, the
// denials, which wait for nothing; [ProxyStatus].DenyAcked says who uses the newest.
// An identity in quarantine is dropped from clusters at once, not in
// make-before-break order. [Server.Recycle] drains the mTLS connections of a proxy
// whose agent may not end them one by one.
//
// To use it: [New] with a [Config], a gRPC server with [Codec] forced and an
// interceptor that notes the caller, [Server.Register], then [Server.Update] for
// each snapshot. [Server.Proxies] and [Server.Holds] tell how it stands.
package xds
