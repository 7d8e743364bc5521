// Package powercut is an SQLite disk in memory whose power can be cut: an aid
// for tests that prove what is durable.
//
// A [Disk] registers itself as an SQLite VFS. What SQLite writes is readable at
// once, as with an operating system's cache, but it survives [Disk.Restart]
// only if it was synced before the power went. Of the unsynced writes a random
// part may survive, sector by sector and in any order, as on real disks.
//
// Two things are taken as given: a sector of 512 bytes is written whole or not
// at all, and names of files are durable at once (package sqlite syncs the
// folder itself).
package powercut
