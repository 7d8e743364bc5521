// Package audit verifies a ledger without trusting, or sharing code with, who
// wrote it.
//
// Feed a [Verifier] every entry in order, then the checkpoint: it recomputes the
// root of the Merkle tree (RFC 6962) and checks the signature (C2SP signed-note).
// Give it an older checkpoint first, and it also proves that the log only ever
// grew since then.
//
//	v, err := audit.New(verifierKey)
//	err = v.Expect(olderNote) // optional
//	for index, data := range entries {
//		err = v.Add(index, data)
//	}
//	summary, err := v.Finish(note)
//
// [VerifyFile] does so with an export (package export beside this one writes it), in
// one pass, offline. [CheckProof] needs neither: a proof that was once made by
// [Verifier.Proof] shows that one certificate's entry is under a signed checkpoint.
//
// The first thing that is wrong comes back as a [*Problem]. What it reads is taken
// to be hostile. Entries are not kept: the tree takes memory with the logarithm of
// the log, and 16 bytes of each serial are remembered to see that none comes twice.
package audit
