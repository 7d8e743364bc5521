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

// sink takes what is read of the ledger, in order: entries, and now and then the
// checkpoint of exactly those so far.
type sink interface {
	Add(index uint64, data []byte) error
	SoFar(note string) error
}

// taker is a sink for entries only.
type taker func(index uint64, data []byte) error

func (t taker) Add(index uint64, data []byte) error { return t(index, data) }
func (t taker) SoFar(string) error                  { return nil }

// readLedger streams the ledger to sinks, from an index on, at most limit entries
// (0: all). It answers the checkpoint that ends the stream.
func readLedger(ctx context.Context, admin ensignv1.AdminServiceClient, from, limit uint64, to ...sink) (*ensignv1.LedgerCheckpoint, error) {
	stream, err := admin.ReadLedger(ctx, &ensignv1.ReadLedgerRequest{From: from, Limit: limit})
	if err != nil {
		return nil, err
	}
	var newest *ensignv1.LedgerCheckpoint
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) && newest == nil {
			return nil, errors.New("the record ended without its checkpoint: ask again")
		}
		if errors.Is(err, io.EOF) {
			return newest, nil
		}
		if err != nil {
			return nil, err
		}
		soFar := newest
		if newest = part.GetCheckpoint(); newest != nil {
			continue
		}
		for _, s := range to {
			if err := pass(s, soFar, part.GetEntry()); err != nil {
				return nil, err
			}
		}
	}
}

// pass gives a sink an entry, and the checkpoint that came before it, if any.
func pass(s sink, soFar *ensignv1.LedgerCheckpoint, e *ensignv1.LedgerEntry) error {
	if soFar != nil {
		if err := s.SoFar(soFar.Note); err != nil {
			return err
		}
	}
	return s.Add(e.GetIndex(), e.GetData())
}

func decodeEntry(index uint64, data []byte) (logged, error) {
	l := logged{Index: index}
	if err := json.Unmarshal(data, &l.Entry); err != nil {
		return logged{}, fmt.Errorf("reading ledger entry %d: %w", index, err)
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
		entry, err := decodeEntry(raw.Index, raw.Data)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
}
