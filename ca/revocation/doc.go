// Package revocation cuts identities, pods and keys off, and keeps everybody
// else served while it does.
package revocation
