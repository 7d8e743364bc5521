package audit

import (
	"encoding/json"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca"
)

// maxProof is more than an entry in base64, 63 hashes and a checkpoint take.
const maxProof = 1 << 18

// wanted is the certificate whose entry is to be proven.
type wanted struct {
	certificate string
	index       int64 // -1: not met yet
	data        []byte
}

// is says whether an entry records the certificate.
func (w *wanted) is(e ca.Entry) bool {
	return w.certificate == e.Certificate || (w.certificate == e.Serial && issued(e))
}

// issued certificates have a serial of their own; those of roots may come twice.
func issued(e ca.Entry) bool {
	return e.Kind == ca.KindSVID || e.Kind == ca.KindServer || e.Kind == ca.KindIssuer
}

// Prove asks, before the first entry, for the proof of a certificate's entry: named
// by its serial, or by the SHA-256 of its DER, in lower-case hex.
func (v *Verifier) Prove(certificate string) {
	v.wanted = &wanted{certificate: certificate, index: -1}
}

// Proof shows, once Finish held, that the entry of the certificate asked for is
// under the checkpoint: one file (C2SP tlog-proof), which carries the entry, for
// [CheckProof] or any other verifier. It is a [*Problem] if the log holds no such
// certificate.
func (v *Verifier) Proof() ([]byte, error) {
	if v.wanted == nil || v.wanted.index < 0 || v.finished == "" {
		return nil, problem(-1, "none of the %d entries is of the certificate asked for: the log does not hold it", v.frontier.size)
	}
	return torchwood.FormatProofWithExtraData(v.wanted.index, v.wanted.data, v.frontier.proof(), []byte(v.finished)), nil
}

// Proven is an entry that is under a signed checkpoint.
type Proven struct {
	Index uint64 `json:"index"`
	// Size of the log that the checkpoint was signed for.
	Size  uint64   `json:"size"`
	Entry ca.Entry `json:"entry"`
	// Data is what was hashed.
	Data []byte `json:"-"`
	// Checkpoint is the signed note.
	Checkpoint string `json:"checkpoint"`
}

// CheckProof checks a proof that stands for itself (C2SP tlog-proof with the entry
// as its extra data) against the log's verifier key, offline. What is wrong with it
// comes back as a [*Problem].
func CheckProof(verifierKey string, proof []byte) (Proven, error) {
	v, err := New(verifierKey)
	if err != nil {
		return Proven{}, err
	}
	if len(proof) > maxProof {
		return Proven{}, problem(-1, "the proof has %d bytes, more than any that proves an entry", len(proof))
	}
	data, err := torchwood.ProofExtraData(proof)
	if err != nil {
		return Proven{}, problem(-1, "it is no proof of an entry: %v", err)
	}
	if err := torchwood.VerifyProof(v.policy(), tlog.RecordHash(data), proof); err != nil {
		return Proven{}, problem(-1, "the proof does not show that the entry is in the log %q: %v", v.origin, err)
	}
	// It parsed and verified: its lines are what they should be.
	head, text, _ := strings.Cut(string(proof), "\n\n")
	checkpoint, err := v.open(text)
	if err != nil {
		return Proven{}, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(strings.Split(head, "\n")[2], "index "), 10, 64)
	if err != nil {
		return Proven{}, problem(-1, "it is no proof of an entry: %v", err)
	}
	p := Proven{Index: uint64(index), Size: uint64(checkpoint.N), Data: data, Checkpoint: text}
	if err := json.Unmarshal(data, &p.Entry); err != nil {
		return Proven{}, problem(index, "it is no ledger entry: %v", err)
	}
	return p, nil
}

// policy takes what the log's own key signed, under the log's own name.
func (v *Verifier) policy() torchwood.Policy {
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(v.origin), torchwood.SingleVerifierPolicy(v.verifier))
}

// open checks a checkpoint's signature and reads it.
func (v *Verifier) open(text string) (torchwood.Checkpoint, error) {
	signed, err := note.Open([]byte(text), note.VerifierList(v.verifier))
	if err != nil {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint is not signed by the key %s: %v", v.origin, err)
	}
	checkpoint, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint does not parse: %v", err)
	}
	if checkpoint.Origin != v.origin {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint is of the log %q, not of %q", checkpoint.Origin, v.origin)
	}
	return checkpoint, nil
}
