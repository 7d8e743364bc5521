package identity

import "errors"

// Why a caller is not believed. Every error of an [Authenticator] wraps exactly
// one of these; the text around it names what was found and what was expected.
var (
	// ErrNoProof: nothing was brought that could prove anything.
	ErrNoProof = errors.New("no proof of identity")
	// ErrMalformed: the proof cannot be read, or says something impossible.
	ErrMalformed = errors.New("malformed proof")
	// ErrSignature: the proof was not made by whom this mesh trusts.
	ErrSignature = errors.New("signature of the proof is not trusted")
	// ErrUnrecorded: the certificate is not one that this mesh's ledger knows of.
	ErrUnrecorded = errors.New("proof is not in the ledger")
	// ErrExpired: the proof was good once.
	ErrExpired = errors.New("proof has expired")
	// ErrNotYetValid: the proof starts in the future; a clock may be wrong.
	ErrNotYetValid = errors.New("proof is not valid yet")
	// ErrAudience: the token was made for somebody else.
	ErrAudience = errors.New("wrong audience")
	// ErrTrustDomain: the proof belongs to another trust domain.
	ErrTrustDomain = errors.New("other trust domain")
	// ErrUnknownAccount: the service account does not exist (any more), or is
	// another one of the same name.
	ErrUnknownAccount = errors.New("unknown service account")
	// ErrUnknownPod: the pod does not exist (any more), or is another one of the same name.
	ErrUnknownPod = errors.New("unknown pod")
	// ErrMismatch: two statements of the caller contradict one another.
	ErrMismatch = errors.New("proofs do not agree")
	// ErrRevoked: the proof was cut off, or what it was made from was.
	ErrRevoked = errors.New("proof is revoked")
	// ErrQuarantined: the identity may have no certificate until it is released.
	ErrQuarantined = errors.New("identity is in quarantine")
	// ErrUnavailable: the proof could not be checked now; the same may hold later.
	ErrUnavailable = errors.New("proof cannot be checked now")
)
