// Package sds gives the Envoys beside it their certificate, and keeps it fresh.
//
// A [Source] makes a key in memory, has a [Signer] certify it, checks what came
// back, and does so again at half of the certificate's life, with a new key each
// time. A [Server] hands the result to Envoy over the secret discovery service,
// delta and state-of-the-world, as two secrets: `default` (chain and key) and
// `ROOTCA` (the roots). [Server.Acknowledged] is what Envoy has taken, which is
// not the same as what was sent.
//
//	source := sds.NewSource(sds.SourceConfig{Signer: signer, TrustDomain: td, Anchors: anchors, TTL: 24 * time.Hour, …})
//	go source.Run(ctx)
//	sds.NewServer(source, metrics, logger).Register(grpcServer)
//
// # Which roots are believed
//
// The roots of an answer become the new ROOTCA when all of this holds:
//
//   - the answer came over a connection whose server was verified against the
//     bundle file that the agent was given, or, when the connection itself is made
//     with a live SVID, against the roots that came with that SVID;
//   - the new leaf verifies to them;
//   - at least one of them is trusted already: it stands in the bundle file
//     ([SourceConfig.Anchors]) or came with the SVID that is in use.
//
// The last rule is continuity: a rotation passes through a bundle that holds the
// old and the new root, so each step overlaps with the one before. A control plane
// that suddenly speaks for an unrelated root (a lost data folder, a wrong address)
// is refused, the old SVID stays in use, and the error names the cure: a new
// bundle file.
//
// # Certificate revocation lists
//
// [Server.SetCRLs] puts CRLs into ROOTCA, for leaf certificates only. Envoy refuses
// every certificate of an issuer whose CRL is missing, has ended or is odd; so a set
// is taken whole or not at all: one list that does not parse, is too large, has
// ended or will while it is in use, holds an extension that Envoy may not know, is
// not signed by the issuer of its name (if that is ours), or that Envoy refuses,
// takes the set out of force, and [Acknowledged] says why. The bundle and the
// certificate go out all the same, and the bundle's hash is that of the roots alone.
//
// # Where the key is
//
// In this process's memory and in Envoy's, nowhere else: it is not written, not
// logged (an [SVID] prints as its ID and serial) and leaves only through the
// server, whose socket the caller must guard by peer credentials.
package sds
