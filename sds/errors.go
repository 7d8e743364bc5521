package sds

import "errors"

// What can be wrong with an SVID. Errors of this package wrap one of these.
var (
	// ErrNone: no certificate was obtained yet, or the last one has expired.
	ErrNone = errors.New("no live SVID")
	// ErrAnswer: the control plane's answer is not a certificate for this key and workload.
	ErrAnswer = errors.New("unusable answer")
	// ErrForeignRoots: none of the roots is trusted already.
	ErrForeignRoots = errors.New("the control plane's roots share nothing with the trusted ones")
	// ErrTrust: the control plane's word on roots is not one.
	ErrTrust = errors.New("unusable word on roots")
)
