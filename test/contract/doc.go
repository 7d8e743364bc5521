// Package contract holds a whole ensignd, over the real wire, to docs/contract.md:
// what other tools rely on.
package contract
