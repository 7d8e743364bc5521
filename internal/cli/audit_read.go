package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// logged is one entry of the ledger as people read it.
type logged struct {
	Index uint64 `json:"index"`
	ca.Entry
}

// MarshalJSON puts the index before the entry's own fields.
func (l logged) MarshalJSON() ([]byte, error) {
	entry, err := json.Marshal(l.Entry)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf(`{"index":%d`, l.Index)
	if string(entry) == "{}" {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), entry[1:]...), nil
}

// readLedger streams entries to take, from an index on, at most limit (0: all).
// It answers the checkpoint that ends the stream.
func readLedger(ctx context.Context, admin ensignv1.AdminServiceClient, from, limit uint64, take func(*ensignv1.LedgerEntry) error) (*ensignv1.LedgerCheckpoint, error) {
	stream, err := admin.ReadLedger(ctx, &ensignv1.ReadLedgerRequest{From: from, Limit: limit})
	if err != nil {
		return nil, err
	}
	var checkpoint *ensignv1.LedgerCheckpoint
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) && checkpoint == nil {
			return nil, errors.New("the record ended without its checkpoint: ask again")
		}
		if errors.Is(err, io.EOF) {
			return checkpoint, nil
		}
		if err != nil {
			return nil, err
		}
		if c := part.GetCheckpoint(); c != nil {
			checkpoint = c
			continue
		}
		if err := take(part.GetEntry()); err != nil {
			return nil, err
		}
	}
}

func decodeEntry(e *ensignv1.LedgerEntry) (logged, error) {
	l := logged{Index: e.Index}
	if err := json.Unmarshal(e.Data, &l.Entry); err != nil {
		return logged{}, fmt.Errorf("reading ledger entry %d: %w", e.Index, err)
	}
	return l, nil
}

// findEntries asks for the entries that match.
func findEntries(ctx context.Context, admin ensignv1.AdminServiceClient, ask *ensignv1.FindEntriesRequest) ([]logged, error) {
	stream, err := admin.FindEntries(ctx, ask)
	if err != nil {
		return nil, err
	}
	entries := []logged{}
	for {
		raw, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		entry, err := decodeEntry(raw)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
}
