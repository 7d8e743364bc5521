package ledger

// schema: data is what was hashed. The columns beside it repeat parts of it for
// questions; nothing is decided by them that data does not say.
//
// A serial is unique among what is issued. A root is recorded again when the
// first start was cut off in between, so roots are left out.
const schema = `
CREATE TABLE IF NOT EXISTS entries (
	idx         INTEGER PRIMARY KEY,
	data        BLOB NOT NULL,
	kind        TEXT NOT NULL,
	serial      TEXT NOT NULL,
	spiffe_id   TEXT NOT NULL,
	issued_at   INTEGER NOT NULL,
	not_after   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS entries_serial ON entries (serial) WHERE serial <> '' AND kind <> 'root';
CREATE INDEX IF NOT EXISTS entries_identity ON entries (spiffe_id, not_after, issued_at) WHERE kind = 'svid';
CREATE TABLE IF NOT EXISTS hashes (
	idx  INTEGER PRIMARY KEY,
	hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
	size INTEGER PRIMARY KEY,
	note TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS probe (
	id INTEGER PRIMARY KEY,
	at INTEGER NOT NULL
) STRICT;
`
