// Package identity says who a caller is.
//
// It holds the words that every other package speaks in: a [ServiceAccount]
// and its SPIFFE ID, the [Credentials] that a caller brings, the [Caller] that
// an [Authenticator] makes of them. Each kind of proof is a package below this
// one. Nothing here knows Kubernetes' client, Envoy or the CA.
package identity
