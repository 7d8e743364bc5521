package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

var (
	errBusy          = errors.New("too many certificates are being signed: try again")
	errNoCaller      = errors.New("no proven identity: bring a bearer token or a client certificate")
	errImpersonation = errors.New("a certificate for another identity cannot be asked for: certificates are for the caller only")
)

// outcome is how one kind of error is answered and counted.
type outcome struct {
	code  codes.Code
	label string
	// hidden errors are told to the log; the caller hears the label only.
	hidden bool
	// quiet errors have an alert of their own, see [Surge]: a line for each would
	// drown the log.
	quiet bool
}

// Code is the gRPC code of an error of identity or ca: what the caller cannot
// mend by another proof is PermissionDenied, what a later try may mend is
// Unavailable, and what nobody foresaw is Internal.
func Code(err error) codes.Code { return classify(err).code }

// Outcome is the stable label by which an error is counted, e.g. "expired" or
// "csr_weak_key"; "issued" for nil.
func Outcome(err error) string { return classify(err).label }

// classify is the one place where errors become codes and counter labels.
func classify(err error) outcome {
	var csr *ca.CSRError
	if errors.As(err, &csr) {
		code := codes.InvalidArgument
		if csr.Reason == ca.ReasonForeignName {
			code = codes.PermissionDenied
		}
		return outcome{code: code, label: "csr_" + string(csr.Reason)}
	}
	var limit *limitError
	if errors.As(err, &limit) {
		return outcome{code: codes.ResourceExhausted, label: limit.label, quiet: true}
	}
	for _, known := range outcomes {
		if errors.Is(err, known.is) {
			return known.outcome
		}
	}
	if s, ok := status.FromError(err); ok {
		return outcome{code: s.Code(), label: "other"}
	}
	return outcome{code: codes.Internal, label: "internal", hidden: true}
}

type knownError struct {
	is error
	outcome
}

// outcomes is in the order in which wrapped errors are looked for: a ledger
// that gave up because the caller did counts as the caller's cancellation.
var outcomes = []knownError{
	{nil, outcome{code: codes.OK, label: "issued"}},
	{errBusy, outcome{code: codes.ResourceExhausted, label: "shed"}},
	{errNoCaller, outcome{code: codes.Unauthenticated, label: "no_proof"}},
	{errImpersonation, outcome{code: codes.PermissionDenied, label: "impersonation"}},
	{context.Canceled, outcome{code: codes.Canceled, label: "canceled"}},
	{ca.ErrRemote, outcome{code: codes.Unavailable, label: "remote", hidden: true}},
	{context.DeadlineExceeded, outcome{code: codes.DeadlineExceeded, label: "deadline"}},
	{identity.ErrUnavailable, outcome{code: codes.Unavailable, label: "proof_unavailable", hidden: true}},
	{identity.ErrNoProof, outcome{code: codes.Unauthenticated, label: "no_proof"}},
	{identity.ErrMalformed, outcome{code: codes.Unauthenticated, label: "malformed_proof"}},
	{identity.ErrSignature, outcome{code: codes.Unauthenticated, label: "bad_signature"}},
	{identity.ErrUnrecorded, outcome{code: codes.Unauthenticated, label: "unrecorded"}},
	{identity.ErrExpired, outcome{code: codes.Unauthenticated, label: "expired"}},
	{identity.ErrNotYetValid, outcome{code: codes.Unauthenticated, label: "not_yet_valid"}},
	{identity.ErrAudience, outcome{code: codes.Unauthenticated, label: "audience"}},
	{identity.ErrTrustDomain, outcome{code: codes.Unauthenticated, label: "trust_domain"}},
	{identity.ErrUnknownAccount, outcome{code: codes.PermissionDenied, label: "unknown_account"}},
	{identity.ErrUnknownPod, outcome{code: codes.PermissionDenied, label: "unknown_pod"}},
	{identity.ErrMismatch, outcome{code: codes.PermissionDenied, label: "mismatch"}},
	{identity.ErrRevoked, outcome{code: codes.PermissionDenied, label: "revoked"}},
	{identity.ErrQuarantined, outcome{code: codes.PermissionDenied, label: "quarantined"}},
	{ca.ErrLifetime, outcome{code: codes.InvalidArgument, label: "lifetime"}},
	{ca.ErrIssuerExpired, outcome{code: codes.Unavailable, label: "issuer_expired"}},
	{ca.ErrLedger, outcome{code: codes.Unavailable, label: "ledger", hidden: true}},
	{ca.ErrMisissuance, outcome{code: codes.Internal, label: "misissuance", hidden: true}},
}
