package admin

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// ReadLedger streams entries and then the checkpoint that covers them, with older
// ones in between, which tell a verifier where to look for a change. A read to the end stops at the checkpoint's size: entries appended meanwhile are left out,
// or, to who follows, are the next batch.
func (s *Service) ReadLedger(r *ensignv1.ReadLedgerRequest, stream ensignv1.AdminService_ReadLedgerServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	if r.Follow && r.Limit > 0 {
		return status.Error(codes.InvalidArgument, "who follows the ledger gives no limit")
	}
	to := ledgerStream{stream, s.config.Ledger}
	for from := r.From; ; {
		changed := s.config.Ledger.Changed()
		// Who follows may have been put into quarantine meanwhile.
		if _, err := s.authorize(ctx); err != nil {
			return err
		}
		size, err := to.batch(from, r.Limit)
		if err != nil || !r.Follow {
			return err
		}
		from = max(from, size)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ledgerStream is a reader of the ledger.
type ledgerStream struct {
	ensignv1.AdminService_ReadLedgerServer
	ledger Ledger
}

// batch sends what the newest checkpoint covers from an index on, at most limit
// entries (0: all), then that checkpoint. It answers the checkpoint's size.
func (s ledgerStream) batch(from, limit uint64) (uint64, error) {
	note, key, size := s.ledger.Checkpoint()
	if limit > 0 {
		if err := s.entries(from, min(limit, size-min(size, from))); err != nil {
			return 0, err
		}
		return size, s.checkpoint(note, key)
	}
	for from < size {
		until, soFar, err := s.ledger.NextCheckpoint(s.Context(), from, size)
		if err != nil {
			return 0, status.Error(codes.Unavailable, err.Error())
		}
		if err := s.entries(from, until-from); err != nil {
			return 0, err
		}
		if from = until; from == size {
			break
		}
		if err := s.checkpoint(soFar, key); err != nil {
			return 0, err
		}
	}
	return size, s.checkpoint(note, key)
}

func (s ledgerStream) entries(from, count uint64) error {
	if count == 0 {
		return nil
	}
	for record, err := range s.ledger.Read(s.Context(), from, count) {
		if errors.Is(err, ledger.ErrDamaged) {
			return status.Error(codes.DataLoss, err.Error())
		}
		if err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		entry := &ensignv1.LedgerEntry{Index: record.Index, Data: record.Data}
		if err := s.Send(&ensignv1.ReadLedgerResponse{Message: &ensignv1.ReadLedgerResponse_Entry{Entry: entry}}); err != nil {
			return err
		}
	}
	return nil
}

func (s ledgerStream) checkpoint(note, key string) error {
	checkpoint := &ensignv1.LedgerCheckpoint{Note: note, VerifierKey: key}
	return s.Send(&ensignv1.ReadLedgerResponse{Message: &ensignv1.ReadLedgerResponse_Checkpoint{Checkpoint: checkpoint}})
}

// maxFound bounds one answer of FindEntries: all of it is in memory once.
const maxFound = 100_000

// FindEntries answers questions about the record without reading all of it.
func (s *Service) FindEntries(r *ensignv1.FindEntriesRequest, stream ensignv1.AdminService_FindEntriesServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	records, err := s.find(ctx, r)
	if err != nil {
		return err
	}
	for _, record := range records {
		if err := stream.Send(&ensignv1.LedgerEntry{Index: record.Index, Data: record.Data}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) find(ctx context.Context, r *ensignv1.FindEntriesRequest) ([]ledger.Record, error) {
	if r.Certificate != "" {
		record, err := s.config.Ledger.Lookup(ctx, r.Certificate)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, status.Errorf(codes.NotFound, "the ledger holds no certificate %s", r.Certificate)
		}
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		return []ledger.Record{record}, nil
	}
	if r.Limit == 0 || r.Limit > maxFound {
		return nil, status.Errorf(codes.InvalidArgument, "a limit of %d is not within 1 to %d; `ensign audit verify` reads everything", r.Limit, maxFound)
	}
	query := ledger.Query{Kind: ca.EntryKind(r.Kind), SPIFFEID: r.SpiffeId, Limit: int(r.Limit)}
	if r.Since != nil {
		query.Since = r.Since.AsTime()
	}
	records, err := s.config.Ledger.Find(ctx, query)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return records, nil
}
