package ca

import (
	"errors"
	"fmt"
)

var (
	// ErrIssuerExpired: there is no issuer in force, since the last one has expired or
	// was revoked, the clock was set back, or the first one is being introduced;
	// issuing goes on when the next one is in force.
	ErrIssuerExpired = errors.New("no issuer is in force")
	// ErrIssuerKeyGone: the key of an issuer is not kept here (any more).
	ErrIssuerKeyGone = errors.New("key of the issuer is gone")
	// ErrRemote: who signs leaves did not sign this one.
	ErrRemote = errors.New("the CA that signs each certificate did not sign")
	// ErrNoCRL: an imported issuer's certificate does not let it sign CRLs, or the key of
	// an issuer is a [Remote]'s.
	ErrNoCRL = errors.New("issuer may not sign CRLs")
	// ErrSignsNoCA: the root that signs is an imported CA that may certify neither
	// issuers nor links.
	ErrSignsNoCA = errors.New("imported CA signs SVIDs itself and may certify no other CA")
	// ErrMisissuance: a certificate failed a check of its own maker and was
	// thrown away. It is a defect here, never the caller's fault.
	ErrMisissuance = errors.New("certificate failed its checks")
	// ErrLedger: the ledger did not take the entry, so nothing was answered.
	ErrLedger = errors.New("ledger did not take the entry")
	// ErrLifetime: the asked life is not a length of time.
	ErrLifetime = errors.New("asked life is negative")
)

// Reason says, for counters, why a signing request was refused. Values are stable.
type Reason string

// The reasons.
const (
	ReasonTooLarge           Reason = "too_large"           // over MaxCSRSize
	ReasonMalformed          Reason = "malformed"           // not one PEM block of one PKCS#10 request
	ReasonTrailing           Reason = "trailing_bytes"      // something before or behind the request
	ReasonKeyAlgorithm       Reason = "key_algorithm"       // not P-256, P-384, Ed25519 or RSA
	ReasonWeakKey            Reason = "weak_key"            // RSA outside 2048 to 8192 bits, or a bad exponent
	ReasonSignatureAlgorithm Reason = "signature_algorithm" // SHA-1 and older, or not of the key's kind
	ReasonSignature          Reason = "bad_signature"       // the asker does not hold the key
	ReasonExtension          Reason = "extension"           // any extension but the SAN
	ReasonAttribute          Reason = "attribute"           // any attribute but the extension request
	ReasonForeignName        Reason = "foreign_san"         // any name but the caller's own SPIFFE ID
)

// CSRError is why a signing request was refused.
type CSRError struct {
	Reason Reason
	// Detail is for people: what was found and what is allowed.
	Detail string
}

// Error implements error.
func (e *CSRError) Error() string {
	return fmt.Sprintf("signing request refused (%s): %s", e.Reason, e.Detail)
}

func refuse(r Reason, format string, args ...any) error {
	return &CSRError{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// LintError is one failed check of [Service.Issue]; it wraps [ErrMisissuance].
type LintError struct {
	// Check is the name of the check that failed.
	Check  string
	Detail string
}

// Error implements error.
func (e *LintError) Error() string {
	return fmt.Sprintf("%s (%s): %s", ErrMisissuance, e.Check, e.Detail)
}

// Unwrap makes errors.Is find ErrMisissuance.
func (e *LintError) Unwrap() error { return ErrMisissuance }
