// Package secrecy keeps what is in a process's memory there. Both long-running
// programs hold private keys: call [Keep] before the first one is read or made.
package secrecy
