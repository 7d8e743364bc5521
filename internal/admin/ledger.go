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

// ReadLedger streams entries and then the checkpoint that covers them. A read to
// the end stops at the checkpoint's size: entries appended meanwhile are left out.
func (s *Service) ReadLedger(r *ensignv1.ReadLedgerRequest, stream ensignv1.AdminService_ReadLedgerServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	note, key, size := s.config.Ledger.Checkpoint()
	limit := size - min(size, r.From)
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	if limit > 0 {
		for record, err := range s.config.Ledger.Read(ctx, r.From, limit) {
			if err != nil {
				return status.Error(codes.Unavailable, err.Error())
			}
			entry := &ensignv1.LedgerEntry{Index: record.Index, Data: record.Data}
			if err := stream.Send(&ensignv1.ReadLedgerResponse{Message: &ensignv1.ReadLedgerResponse_Entry{Entry: entry}}); err != nil {
				return err
			}
		}
	}
	checkpoint := &ensignv1.LedgerCheckpoint{Note: note, VerifierKey: key}
	return stream.Send(&ensignv1.ReadLedgerResponse{Message: &ensignv1.ReadLedgerResponse_Checkpoint{Checkpoint: checkpoint}})
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
