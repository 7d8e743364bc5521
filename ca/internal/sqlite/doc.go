// Package sqlite opens the SQLite files of the CA, in one way for all of them.
//
// [Open] gives a [DB] with one writing connection and a few reading ones. A
// commit on the writer is on the disk when it returns: WAL with
// synchronous=FULL, the folder synced too, so that a power cut loses nothing
// that was answered. Readers never block the writer. Files are mode 0600.
//
// Package powercut below this one is a disk that forgets, to prove it.
package sqlite
