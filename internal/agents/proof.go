package agents

import (
	"context"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Ledger proves that the record has only grown.
type Ledger interface {
	// Checkpoint is the newest signed one, the key that it is signed with, and its size.
	Checkpoint() (note, verifierKey string, size uint64)
	// Proof is the proof of consistency (RFC 6962 section 2.1.2) between two sizes.
	Proof(ctx context.Context, from, size uint64) (hashes [][]byte, err error)
}

// proof is the ledger now for an agent that has seen it at the size from. A log
// that is smaller than that is told as it is: the agent holds the proof of it. Nil
// when it can not be read, which is no reason to leave a report unanswered.
func (i *intake) proof(ctx context.Context, from uint64) *ensignv1.LedgerProof {
	note, key, size := i.config.Ledger.Checkpoint()
	if size == 0 {
		return &ensignv1.LedgerProof{}
	}
	proof := &ensignv1.LedgerProof{Note: note, VerifierKey: key, From: from}
	if from == 0 || from >= size {
		return proof
	}
	var err error
	if proof.Consistency, err = i.config.Ledger.Proof(ctx, from, size); err != nil {
		i.config.Logger.ErrorContext(ctx, "ledger not proven to an agent", "pod", i.pod.String(), "from", from, "size", size, "error", err)
		return nil
	}
	return proof
}
