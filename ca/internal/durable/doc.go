// Package durable writes files that are whole or not there, whatever happens:
// a crash, a power cut, or a kill at any point leaves the old file or the new one.
package durable
