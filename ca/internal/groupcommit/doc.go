// Package groupcommit lets callers that arrive at the same time share one
// durable write.
//
// A [Group] owns one goroutine. Callers hand it a value with [Group.Do]; while
// one batch is being written the next one gathers behind it, so that the cost
// of a sync is divided by the number of callers that wait for it. Nobody waits
// for company: a lone caller is written at once.
//
// The answer leaves no doubt about a cancelled caller: a value that the writer
// has not taken when the context ends is never written, and a value that it
// has taken is waited for.
package groupcommit
