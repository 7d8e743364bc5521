// Package ledger is the append-only record of everything that was issued.
//
// It is a Merkle log (RFC 6962 hashes, signed C2SP tlog-checkpoints) kept in one
// SQLite file. [Ledger.Append] returns when the entry, its hashes and a newly
// signed checkpoint are on the disk, in one transaction that concurrent callers
// share; no certificate leaves before that.
//
//	led, err := ledger.Open(ctx, ledger.Config{Path: "data/ledger.db", Origin: "ensign/cluster.local/ledger", Keys: store})
//	index, err := led.Append(ctx, entry)
//	note, verifierKey, size := led.Checkpoint()
//
// One goroutine writes (package groupcommit); it alone owns the tree's state.
// Readers use their own connections and never block it.
//
// Opening checks the store: the newest checkpoint is signed by our key, its root
// is that of the stored hashes, and there are as many entries as it says. A store
// that fails is not opened, since whoever goes on from it would hide a loss.
// Package audit below this one verifies every entry, without this code.
package ledger
