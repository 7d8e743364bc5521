// Package clientcert recognises a caller by the SVID that it used as its TLS
// client certificate.
//
// The TLS stack has verified the chain against the mesh's roots before anything
// here runs. What decides the identity is checked once more all the same: form
// of an X.509-SVID (SPIFFE X509-SVID §4 and §5), own trust domain, inside its
// validity at this moment (a connection outlives its handshake), made for
// clients. The account must still exist.
//
// An SVID names an account, not a pod. What the ledger knows of the certificate
// can bind it to the pod that it was issued for: see [Config].Binding.
package clientcert
