// Package cli is `ensign`, the command line for people.
//
// One file holds one verb. A verb reads its flags, asks the control plane over
// its admin API (connect.go), and prints the answer through [printer]
// as a table, JSON or YAML with stable keys. The exit code is 0 when what was
// asked holds, 1 when it does not, 2 when the command was used wrongly.
package cli
