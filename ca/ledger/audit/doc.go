// Package audit verifies a ledger without trusting, or sharing code with, who
// wrote it.
//
// Feed a [Verifier] every entry in order, then the checkpoint: it recomputes the
// root of the Merkle tree (RFC 6962) and checks the signature (C2SP signed-note),
// in memory that grows with the logarithm of the log. Give it an older checkpoint
// first, and it also proves that the log only ever grew since then.
package audit
