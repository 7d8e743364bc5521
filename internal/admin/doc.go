// Package admin is what people and tools ask of a running control plane
// (ensign.v1.AdminService), behind the CLI.
//
// Every call begins with authorize: over admin.sock the kernel has checked the
// peer's user already, over the network the caller's SVID must be listed. Each
// call that changes anything is in the ledger before it takes effect.
package admin
