// Package peercred guards a Unix socket by who connects to it.
//
// [Listen] makes the socket with mode 0600, and [Credentials] refuses every peer
// whose user, as the kernel tells it (SO_PEERCRED), is not allowed. Two locks,
// because the mode alone does not hold on a socket that was handed on.
package peercred
