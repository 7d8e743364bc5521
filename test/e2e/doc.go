// Package e2e asks real Envoys whether Ensign keeps its promises: each test is
// one feature, seen from a pod of the lab. The tests share one lab with the
// bookshop in it; each changes the manifests under names of its own and puts
// them back.
package e2e
