// Package manifest reads the mesh from a folder of YAML.
//
// A [Source] loads every *.yaml, *.yml and *.json file below a folder, checks
// each document strictly, and then watches: what changes on disk reaches the
// mesh as a [mesh.Update].
//
// A file is taken wholly or not at all. The first load is all or nothing too:
// one error in any file, and Run returns a [*LoadError] that lists them all.
// Later, a file with an error keeps its last good objects, nothing of it counts
// as deleted, and a policy in it that was never in force before is handed over
// as [mesh.Unreadable], which denies.
package manifest
