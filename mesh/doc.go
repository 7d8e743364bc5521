// Package mesh is one immutable picture of the world.
//
// A source (a folder of YAML, or Kubernetes) hands objects to a [Builder]; the
// builder answers with a [Snapshot] and with the [ChangeSet] that leads to it.
// All that reads the mesh reads a snapshot: nothing looks behind it.
package mesh
