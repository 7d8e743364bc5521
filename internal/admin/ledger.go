package admin

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
