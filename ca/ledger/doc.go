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
//	live, err := led.Live(ctx, time.Now())
//
// One goroutine writes (package groupcommit); it alone owns the tree's state.
// Readers use their own connections and never block it. All hashes are stored,
// by tlog's numbering, so any tile of C2SP tlog-tiles can be read from them.
//
// # What an answer means
//
// A nil error means durable. The context's error means that the entry was not
// taken and never will be. Any other error means that nothing may leave: the
// entry was refused ([ErrSerial], [ErrIncomplete], [ErrTooLarge]), or the disk
// failed, and then the entry may be found in the log later, which harms nobody.
// After a failed write [Ledger.Healthy] says why; the ledger reads its own state
// again, tries by itself once a second, and recovers when the disk does.
//
// # Who else reads it
//
// [Handler] serves the log by C2SP tlog-tiles, so that anybody's client can follow
// it. [Ledger.Proof] shows that it only grew, [Ledger.Inclusion] that one certificate is
// in it. [Ledger.Export] writes it into one file (package export), which package
// audit verifies and [Restore] makes a ledger of again, unless that would fork the log.
//
// # What is checked
//
// Opening: the newest checkpoint is signed by our key, its root is that of the
// stored hashes, there are as many entries as it says (if not, the first wrong one
// is named), the newest ones are what was hashed, and the log grew from the checkpoint in PATH.checkpoint, which
// follows by a second. Reading: each entry is what was hashed. A store that fails
// is not opened, since whoever goes on from it would hide a loss.
//
// Who can write both files can put both back to an older state that was once
// true. Against that, keep a checkpoint somewhere else: package audit below this
// one holds every entry against it, without this code.
package ledger
