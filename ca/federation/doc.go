// Package federation serves the roots of the mesh to other trust domains, as a SPIFFE
// bundle endpoint: one document over HTTPS, a JWK set of the roots with a sequence
// number and with how often to come back.
//
// A client must know whom it asks before it believes the answer. There are the two
// ways of the standard: [NewFiles] (https_web: a certificate that the world's web
// clients believe, from two files) and [NewSelf] (https_spiffe: an X509-SVID of this
// very mesh, which a client checks against the roots that it fetched before).
//
//	certificates := federation.NewSelf(service)
//	endpoint, err := federation.New(ctx, federation.Config{
//		TrustDomain: td, Trust: trust, Certificates: certificates, Logger: log, Registerer: reg})
//	err = endpoint.Serve(ctx, listener) // until ctx ends
//
// Nothing secret is in the document: whoever reaches the endpoint may read it.
//
// # While the root is rotated
//
// The document holds what workloads here are told to trust, so both roots between
// distribution and retirement. A client that comes back at least every [RefreshHint]
// misses nothing as long as both are in it for longer than that; no gate knows of
// clients in other trust domains. The endpoint's own SVID stays under the old root as
// long as that is trusted, for the sake of clients which know no other yet.
package federation
