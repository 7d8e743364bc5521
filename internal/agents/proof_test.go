package agents_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// log is a ledger of ten entries that can be broken.
type log struct{ err error }

func (log) Checkpoint() (string, string, uint64) { return "note", "key", 10 }

func (l log) Proof(_ context.Context, from, size uint64) ([][]byte, error) {
	return [][]byte{{byte(from), byte(size)}}, l.err
}

func TestReportsAreAnsweredWithAProofOfTheLedger(t *testing.T) {
	for name, c := range map[string]struct {
		seen   uint64
		ledger log
		want   *ensignv1.LedgerProof
	}{
		"never seen":       {0, log{}, &ensignv1.LedgerProof{Note: "note", VerifierKey: "key"}},
		"grown":            {4, log{}, &ensignv1.LedgerProof{Note: "note", VerifierKey: "key", From: 4, Consistency: [][]byte{{4, 10}}}},
		"the same":         {10, log{}, &ensignv1.LedgerProof{Note: "note", VerifierKey: "key", From: 10}},
		"rolled back":      {11, log{}, &ensignv1.LedgerProof{Note: "note", VerifierKey: "key", From: 11}},
		"can not be read":  {4, log{errors.New("disk")}, nil},
		"needs no reading": {10, log{errors.New("disk")}, &ensignv1.LedgerProof{Note: "note", VerifierKey: "key", From: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			service := config(&shelf{})
			service.Ledger = c.ledger
			stream := connect(t, run(t, service))
			message := say("shop/web-1", 1)
			message.GetReport().Ledger = &ensignv1.LedgerSeen{Size: c.seen, Root: make([]byte, 32)}
			stream.Send(message)
			answer, err := recv(stream)
			if err != nil || !proto.Equal(answer.GetStored().GetLedger(), c.want) {
				t.Errorf("%v, %v; want %v", answer, err, c.want)
			}
		})
	}
}
