// Package meshgen makes meshes for tests.
//
// [Load] reads one. [Mesh] draws small random ones, for tests that say what must hold
// in every mesh. Names, addresses and ports come from small pools, so that
// objects clash, shadow and refer to one another all the time.
package meshgen
