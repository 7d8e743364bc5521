package agent

import (
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Limits on what the control plane shows of its ledger.
const (
	maxNote = 4 << 10
	// A proof of consistency takes at most two hashes for each doubling of the log.
	maxProof = 128
)

// verdict is what a proof says.
type verdict struct {
	result proofResult
	why    string
}

type proofResult string

const (
	// proofGrown: the log holds all that it held, and more; or it is the first.
	proofGrown proofResult = "grown"
	proofSame  proofResult = "same"
	// proofUnproven: it answers a report of before the last checkpoint, as happens
	// when reports follow one another closely; or the log is empty. It says nothing.
	proofUnproven proofResult = "unproven"
	// proofInvalid: it is not signed, cannot be read, or answers no report of ours.
	proofInvalid proofResult = "invalid"
	// proofFork: the log does not hold what it held.
	proofFork proofResult = "fork"
)

// judge holds a proof against the newest checkpoint, nil before the first, and the
// log's key. It is pure; the checkpoint is that of a proof that grew.
func judge(newest *torchwood.Checkpoint, key string, shown shownProof) (*torchwood.Checkpoint, verdict) {
	proof := shown.proof
	if len(proof.GetNote()) > maxNote || len(proof.GetConsistency()) > maxProof {
		return nil, verdict{proofInvalid, fmt.Sprintf("a note of %d bytes with %d hashes: at most %d and %d are taken", len(proof.GetNote()), len(proof.GetConsistency()), maxNote, maxProof)}
	}
	if proof == nil && newest != nil {
		return nil, verdict{proofInvalid, fmt.Sprintf("none is shown, and the ledger had %d entries", newest.N)}
	}
	if proof.GetNote() == "" {
		if newest == nil || shown.told == 0 {
			return nil, verdict{proofUnproven, "the ledger is empty"}
		}
		return nil, verdict{proofFork, fmt.Sprintf("the ledger is empty, and had %d entries", newest.N)}
	}
	if newest != nil && proof.GetVerifierKey() != key {
		return nil, verdict{proofFork, fmt.Sprintf("it is another ledger, with the key %.300q", proof.GetVerifierKey())}
	}
	next, err := openNote(proof.GetVerifierKey(), proof.GetNote())
	if err != nil {
		return nil, verdict{proofInvalid, err.Error()}
	}
	if newest == nil {
		return next, verdict{result: proofGrown}
	}
	return next, compare(*newest, *next, shown)
}

func compare(old, next torchwood.Checkpoint, shown shownProof) verdict {
	switch {
	case next.N == old.N && next.Hash == old.Hash:
		return verdict{result: proofSame}
	case next.N == old.N:
		return verdict{proofFork, fmt.Sprintf("the first %d entries had the root %s and have another", old.N, old.Hash)}
	case next.N < old.N && uint64(next.N) < shown.told:
		return verdict{proofFork, fmt.Sprintf("the ledger was rolled back: it has %d entries, and had %d", next.N, old.N)}
	case next.N < old.N:
		return verdict{proofUnproven, fmt.Sprintf("it is of %d entries, and %d are remembered since", next.N, old.N)}
	case shown.proof.GetFrom() != shown.told:
		return verdict{proofInvalid, fmt.Sprintf("it is proven to grow from %d entries, and we told of %d", shown.proof.GetFrom(), shown.told)}
	case shown.told != uint64(old.N):
		return verdict{proofUnproven, fmt.Sprintf("it is proven from %d entries, and %d are remembered since", shown.told, old.N)}
	}
	if err := consistent(shown.proof, old, next); err != nil {
		return verdict{proofFork, fmt.Sprintf("the ledger of %d entries does not hold the %d that it had (root %s): %v", next.N, old.N, old.Hash, err)}
	}
	return verdict{result: proofGrown}
}

func consistent(proof *ensignv1.LedgerProof, old, next torchwood.Checkpoint) error {
	hashes := make(tlog.TreeProof, len(proof.GetConsistency()))
	for i, hash := range proof.GetConsistency() {
		if copy(hashes[i][:], hash) != tlog.HashSize || len(hash) != tlog.HashSize {
			return fmt.Errorf("hash %d has %d bytes", i, len(hash))
		}
	}
	return tlog.CheckTree(hashes, next.N, next.Hash, old.N, old.Hash)
}

// openNote verifies a checkpoint's signature and reads it.
func openNote(key, text string) (*torchwood.Checkpoint, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's key: %w", err)
	}
	signed, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return nil, fmt.Errorf("verifying the checkpoint: %w", err)
	}
	read, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	if read.Origin != verifier.Name() {
		return nil, fmt.Errorf("the checkpoint is of the ledger %q, not of %q", read.Origin, verifier.Name())
	}
	if read.N < 1 {
		return nil, errors.New("the checkpoint is of an empty ledger")
	}
	return &read, nil
}
