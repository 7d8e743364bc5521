// Package daemon is ensignd put together: flags → config → wiring → one errgroup.
//
// It is the one place where the CA, the mesh and the xDS server meet. The pieces
// do not know one another; what they need of each other goes through the small
// adapters here: [world] answers who exists, [authority] holds the CA's parts, [nodes]
// whose proof speaks for a pod, by the [census] of who holds which SVID.
//
// Begin with run.go: it makes each part, in the order in which they need one another, and
// runs their tasks until one fails or the process is told to end. What rotation asks of
// the mesh is in followers.go (who must follow) and taught.go (what they are told); who is
// cut off goes its ways in enforcement.go; what the admin API asks for is in services.go.
package daemon
