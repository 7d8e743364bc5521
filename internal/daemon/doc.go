// Package daemon is ensignd put together: flags → config → wiring → one errgroup.
//
// It is the one place where the CA, the mesh and the xDS server meet. The pieces
// do not know one another; what they need of each other goes through the small
// adapters here: [world] answers who exists, [authority] holds the CA's parts.
package daemon
