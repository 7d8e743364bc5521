// Package catest holds what tests of the CA share: a root with real keys, a
// ledger in memory that can be told to fail, and signing requests good and bad.
package catest
