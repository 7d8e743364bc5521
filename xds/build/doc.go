// Package build makes Envoy resources of a mesh snapshot.
//
// Every function is pure: the same snapshot and scope give the same messages.
// Which function must run again after a change is the caller's business
// (package xds), so each takes the smallest unit that can change alone: one
// host, one port, one workload's inbound side.
package build
