package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// proofHeader begins a file that proves one certificate, and no export.
const proofHeader = "c2sp.org/tlog-proof@"

// checkProof checks a proof that stands for itself: one entry is under a signed
// checkpoint. It holds no key, so that one must be known from elsewhere.
func (v *verify) checkProof(in io.Reader, options audit.Options) (verified, error) {
	if options.Key == "" {
		return verified{}, usagef("a proof of one certificate is checked against the ledger's key: give --key (`ensign audit verify -o json` names it as verifier_key)")
	}
	if len(options.Older) > 0 || v.proof != "" {
		return verified{}, usagef("--checkpoint and --proof are for a whole record, and this file proves one certificate")
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSmallFile))
	if err != nil {
		return verified{}, fmt.Errorf("reading the proof: %w", err)
	}
	proven, err := audit.CheckProof(options.Key, text)
	if err != nil {
		return verified{}, err
	}
	if name := options.Certificate; name != "" && name != proven.Entry.Serial && name != proven.Entry.Certificate {
		return verified{}, &audit.Problem{Index: int64(proven.Index), What: "the proof is of another certificate than --certificate: it is of serial " + proven.Entry.Serial}
	}
	answer := verified{
		Holds: true, Claim: inRecord(proven), Checkpoint: proven.Checkpoint, VerifierKey: options.Key,
		Certificate: &logged{Index: proven.Index, Entry: proven.Entry},
	}
	// The note was verified: its third line is the root.
	answer.Entries, answer.Root = proven.Size, strings.Split(proven.Checkpoint, "\n")[2]
	return answer, keep(v.save, "checkpoint", answer.Checkpoint)
}

// inRecord says in words that a certificate was recorded.
func inRecord(p audit.Proven) string {
	e := logged{Index: p.Index, Entry: p.Entry}
	return fmt.Sprintf("the certificate of serial %s is entry %d of %d, issued to %s at %s", e.Serial, p.Index, p.Size, e.who(), stamp(e.Time))
}
