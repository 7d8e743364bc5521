// Package structure holds the tree to the map in docs/architecture.md.
package structure
