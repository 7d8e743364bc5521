// Package mesh is one immutable picture of the world.
//
// A source (a folder of YAML, or Kubernetes) hands typed objects to a [Builder];
// the builder answers with a [Snapshot], with the [ChangeSet] that leads to it
// from the one before, and with the [Problem]s that stand. All that reads the
// mesh reads a snapshot: nothing looks behind it.
//
//	b := mesh.NewBuilder(trustDomain)
//	snapshot, changes, problems := b.Apply(mesh.Update{Upserts: objects})
//
// # What follows from what
//
// A service is a Kubernetes Service or a host of a ServiceEntry (resolution
// STATIC). Its endpoints come from EndpointSlices alone, joined with pods by
// targetRef or address; its accounts are those of every pod behind it or
// selected by it, ready or not, so that clients know a server before it answers.
// A pod with an address is a workload; its inbound ports come from the services
// of its own namespace, what it demands of its clients from PeerAuthentications,
// who may call it from AuthorizationPolicies. Service accounts exist only where
// an object says so: there is no implied "default".
//
// # Fail closed
//
// An object with a defect is not taken: its last good version stays in force.
// Where there is none, an AuthorizationPolicy denies everything to what it
// selects, a PeerAuthentication demands mTLS, a MeshConfig blocks unknown
// destinations, and any other object is absent. Of an AuthorizationPolicy that
// asks for something that can't be enforced (JWT claims, path templates), an
// ALLOW allows nothing by it and a DENY denies without regard to it; CUSTOM
// denies what its rules match; AUDIT and dry runs have no effect. Each is told as
// a problem with what to write instead.
//
// # Incremental and deterministic
//
// An object is compiled once, when it arrives. Apply composes again only the
// hosts and workloads that lean on what changed, and keeps the old pointer of
// all that comes out deeply equal. Neither the order nor the history of objects
// matters, save for the last good versions.
package mesh
