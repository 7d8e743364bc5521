// Package clientcert recognises a caller by the SVID that it used as its TLS
// client certificate.
//
// The TLS stack has verified the chain against the mesh's roots before anything
// here runs. What decides the identity is checked once more all the same: form
// of an X.509-SVID (SPIFFE X509-SVID §4 and §5), own trust domain, inside its
// validity at this moment (a connection outlives its handshake), made for
// clients. The account must still exist, and be the one that the certificate was
// issued for and not a later one of the same name.
//
// An SVID names an account, not its UID and not a pod. What the ledger knows of the
// certificate binds it to those, see [Bound]: of the very certificate, so that one which
// a stolen issuer's key signed past the ledger proves nothing. And SVIDs renew SVIDs only for so
// long: a chain of renewals that no token has proven for [Config].MaxTokenAge ends,
// so that a stolen key does not live on for ever.
package clientcert
