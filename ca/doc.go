// Package ca turns a proven identity and a public key into a certificate.
//
// The SPIFFE ID comes from the caller's proof ([identity.Caller]); from the
// signing request comes the public key and nothing else. Each certificate goes
// through the same stages, in [Service.Issue]:
//
//  1. prepare: a template from the [Profile], with a random 128-bit serial and
//     a life that is clipped to the profile's and to the issuer's;
//  2. lint: the bytes that would be signed go through a list of named checks.
//     What fails here never meets a key;
//  3. sign: with the issuer's key, exactly those bytes, once (or see "A key elsewhere");
//  4. validate: the signed certificate must hold, byte by byte, what was
//     linted, pass the same checks, and chain up to the root;
//  5. ledger: [Ledger.Append] has made the entry durable.
//
// Only then is the certificate returned. Whatever fails before that, nobody
// has seen a certificate; at worst the ledger holds one that was never used.
//
// # A first certificate
//
// Make an upstream (ca/upstream holds the root), open a ledger (ca/ledger),
// then:
//
//	profile, err := ca.NewProfile(ca.ProfileConfig{})
//	service, err := ca.New(ctx, ca.Config{TrustDomain: td, Profile: profile, Upstream: up, Ledger: led, Logger: log})
//	go service.Run(ctx) // replaces the issuer in time
//	csr, err := ca.ParseCSR(pem)
//	issued, err := service.Issue(ctx, ca.Request{Caller: caller, CSR: csr})
//
// # Issuer
//
// Every process has an issuer key of its own, certified by the [Upstream] for path
// length 0 and for this trust domain alone (a critical URI name constraint). It is
// replaced at a third of its life, so that a leaf asked for at any time can live for
// two thirds of it. An [IssuerStore] keeps keys until their issuers expire: a restart
// goes on with the same issuer, and CRLs of those before can be signed
// ([Service.SignCRL]). succession.go tells how one issuer follows another, and what a
// crash in between leaves.
//
// The upstream's roots may change under a Service. What it hands out as the bundle is
// the upstream's of that moment. An issuer that does not lead to [Upstream].Signing is
// replaced at once ([Service.Settle] returns when it was); until then it signs on, as
// long as its own root is trusted, and not a moment longer.
//
// # A key elsewhere
//
// Where [Config].Remote names one, no issuer's key is made: a [Remote] signs each leaf, in
// the stages' place of signing. What it answers is compared with what was prepared, in all
// but the serial, an earlier end, and a start that is a few minutes off. The ledger knows
// its CA as an issuer. Nobody here can sign that one's CRL ([ErrNoCRL]), and while it is
// away nothing is issued ([ErrRemote]).
//
// # Cutting off
//
// Who is cut off is not decided here. [Config].Admit is asked before an SVID is made
// and held until the ledger has it; [Config].Revoked stops an issuer; and
// [Config].Introduce holds a new one back until those who check CRLs know its.
package ca
