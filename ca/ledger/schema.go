package ledger

// tables: data, the JSON of a ca.Entry, is what was hashed. The columns beside
// it are computed from it by SQLite, never stored, so that no question can be
// answered by something that the tree does not cover.
const tables = `
CREATE TABLE IF NOT EXISTS entries (
	idx         INTEGER PRIMARY KEY,
	data        TEXT NOT NULL,
	kind        TEXT GENERATED ALWAYS AS (data ->> '$.kind') VIRTUAL,
	time        INTEGER GENERATED ALWAYS AS (unixepoch(data ->> '$.time')) VIRTUAL,
	serial      TEXT GENERATED ALWAYS AS (data ->> '$.serial') VIRTUAL,
	certificate TEXT GENERATED ALWAYS AS (data ->> '$.certificate') VIRTUAL,
	spiffe_id   TEXT GENERATED ALWAYS AS (data ->> '$.spiffe_id') VIRTUAL,
	not_after   INTEGER GENERATED ALWAYS AS (unixepoch(data ->> '$.not_after')) VIRTUAL,
	CHECK (kind <> ''),
	CHECK (kind <> 'svid' OR (serial <> '' AND spiffe_id <> '' AND not_after > 0) IS TRUE)
) STRICT;
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

// indexes: a serial is unique among the certificates that Ensign signs with its
// roots; the roots themselves are told apart by their fingerprints.
const indexes = `
CREATE UNIQUE INDEX IF NOT EXISTS entries_serial ON entries (serial) WHERE kind IN ('svid', 'server', 'issuer');
CREATE INDEX IF NOT EXISTS entries_certificate ON entries (certificate) WHERE certificate IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_identity ON entries (spiffe_id, not_after) WHERE kind = 'svid';
CREATE INDEX IF NOT EXISTS entries_spiffe_id ON entries (spiffe_id, time) WHERE spiffe_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_kind ON entries (kind, time);
CREATE INDEX IF NOT EXISTS entries_time ON entries (time);
CREATE INDEX IF NOT EXISTS entries_proof_serial ON entries (data ->> '$.proof_serial') WHERE data ->> '$.proof_serial' IS NOT NULL;
`

const schema = tables + indexes
