// Package sds gives the Envoys beside it their certificate, and keeps it fresh.
//
// A [Source] makes a key in memory, has a [Signer] certify it, checks what came
// back, and does so again at half of the certificate's life, with a new key each
// time. A [Server] hands the result to Envoy over the secret discovery service,
// delta and state-of-the-world, as two secrets: `default` (chain and key) and
// `ROOTCA` (the roots). [Server.Acknowledged] is what Envoy has taken, which is
// not the same as what was sent.
//
//	roots := sds.NewRoots(sds.RootsConfig{Operator: bundleFile, Keep: store, Kept: stored, …})
//	source := sds.NewSource(sds.SourceConfig{Signer: signer, TrustDomain: td, Roots: roots, TTL: 24 * time.Hour, …})
//	go source.Run(ctx)
//	sds.NewServer(source, metrics, logger).Register(grpcServer)
//
// # Which roots are believed
//
// [Roots] begin with the bundle file. From then on the control plane says what is to
// be trusted, by [Source.Follow] or with an SVID, and that becomes ROOTCA and takes
// the place of the file when all of this holds:
//
//   - it came over a connection whose server was verified against the roots believed
//     until then;
//   - at least one of the roots is believed already: it is in force, or, before
//     anything is, stands in the bundle file, or was shown to follow on those
//     ([Roots.Learn]);
//   - of an SVID: its leaf verifies to them.
//
// The second rule is continuity: a rotation passes through a bundle that holds the
// old and the new root, so each step overlaps with the one before. A control plane
// that suddenly speaks for an unrelated root (a lost data folder, a wrong address)
// is refused, everything stays in use, and the error names the cure: a new bundle file.
//
// Because what was said last stands in the place of the file, a root that was retired
// is dead here, though the file has it still; it is kept for the next process too
// ([Kept]). Roots that could not be kept are in force, but count as not taken over
// ([Acknowledged].TrustSequence is 0) until [Source.Keep] has succeeded. The file stands again when its own roots become others: that is the
// operator's word, which is above the control plane's.
//
// What was pushed counts more than what comes with an SVID, which may have been signed
// before: the latter is taken only if the SVID leads to none of the roots that were
// pushed, and was asked for after they were. A push counts from its sequence: one of
// before is ignored, unless it is the first word of a stream, as after a restore of
// the ledger.
//
// # Roots apart from the SVID
//
// A push changes ROOTCA only. The SVID stays, and with it the connections that show
// it. If it does not lead to the root that it is to lead to, it is renewed at a random
// moment of the window that the push names; if it leads to none of the roots, at once.
// A renewal that does not help (the CA is not there yet) is repeated with growing
// pauses.
//
// [Acknowledged] names a bundle only while all of Envoy's streams have taken that very
// one and no other is on its way to them, and with it the newest [Trust] that all streams
// have come to. So where roots go and come back, in a rollback, it tells the same roots
// of before from those of now: a gate may rest on it, and on no clock.
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
