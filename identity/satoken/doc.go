// Package satoken makes and checks service-account tokens.
//
// A token is a JWT (RFC 7519) with the claims that Kubernetes puts into its own
// bound tokens, so that an agent cannot tell the two apart:
//
//	{"iss": "https://cluster.local", "sub": "system:serviceaccount:shop:reviews",
//	 "aud": ["istio-ca"], "exp": …, "iat": …, "nbf": …, "jti": "…",
//	 "kubernetes.io": {"namespace": "shop",
//	   "serviceaccount": {"name": "reviews", "uid": "…"},
//	   "pod": {"name": "reviews-1", "uid": "…"}}}
//
// It is signed with one ECDSA P-256 key (ES256 and nothing else), good for one
// audience, and for one trust domain, which is the host of its issuer.
//
// A control plane without Kubernetes holds the key:
//
//  1. Make both sides of one [Config]: [NewMinter] and [NewAuthenticator].
//  2. [Minter.Mint] a token for an account, best bound to a pod.
//  3. [Authenticator.Authenticate] whoever brings it. The account and the pod
//     must still exist under the UIDs of the token.
package satoken
