// Package connections knows the live connections of the Envoy beside the agent,
// each by the certificate that its peer showed, and ends those of peers that are
// cut off.
//
// No setting of Envoy's ends one peer's live connections. So Envoy tells of each
// over its access log service ([Table.Register]); the table keeps the addresses,
// the kernel's cookie of the socket and the peer. [Table.Apply] holds it against
// who is cut off: what matches is ended in the kernel, by [Method], and so is
// whatever Envoy tells of later. [Table.State] says how far that is.
//
// A socket is ended only if it is the recorded one: its cookie, which the kernel
// gives out once, is compared at the moment of ending it; and the record must be
// older than Envoy takes to tell of a newer connection with the same addresses.
//
// Envoy repeats its word about each connection that carries something every
// [Period]. That fills the table of an agent that was restarted, and mends it
// where records were lost. Idle HTTP connections are not repeated: they are known
// again, and ended, with their next request, which Envoy itself refuses.
package connections
