// Package edge is the way in to port 15012.
//
// It makes the gRPC server that ADS, the CSR RPC and the agents' RPC are
// registered on: TLS with an optional client certificate, limits, and the [Gate],
// which turns what a caller brought into an [identity.Caller] in the context, or
// refuses, before anything of the request is read. A stream's context ends with its
// proof, and when its caller is cut off ([Standing]), so no handler has to remember that.
package edge
