// Package revocation cuts certificates, pods, identities and issuers off, and keeps
// everybody else served while it does.
//
// Its one durable state is the ledger: an act is one entry, and who is cut off is a
// pure fold over all acts and the certificates that live. A [Register] keeps that
// [List], stands in the way of issuance ([Register.Admit]) and of streams
// ([Register.Proof]), and tells whoever enforces it of every change
// ([Register.Current]).
//
// [CRLs] turn the list into one signed CRL for each issuer, all or none: Envoy refuses
// everybody whose issuer has no CRL as soon as it has any. [Progress] and
// [Mechanisms] say how far the proxies obey.
//
//  1. [Open] the register; give its Admit to the CA and its Proof to the edge; run it.
//  2. [OpenCRLs] on the register; give Introduce to the CA; run them.
//  3. [ParseTarget] what a person asked for, show them [Register.Plan], then [Register.Do].
package revocation
