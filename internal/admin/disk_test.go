package admin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cabinet keeps nothing, as long as it is full.
type cabinet struct{ full error }

func (c *cabinet) All(context.Context) ([]report.Report, error) { return nil, nil }
func (c *cabinet) Healthy() error                               { return c.full }

// While reports cannot be kept, everybody looks late: the status says whose fault it is.
func TestReportsThatCannotBeKeptAreTold(t *testing.T) {
	c := newCarousel()
	s, ctx := office(t.Context(), c)
	full := &cabinet{full: errors.New("make room")}
	s.config.Reports = full
	for _, outcome := range []string{running, "completed"} {
		c.turn(rotation.Rotation{ID: "r1", From: c.status.Roots[0].Fingerprint, Outcome: outcome})
		now, err := s.GetAuthority(ctx, &ensignv1.GetAuthorityRequest{})
		if told := strings.Contains(now.GetRotation().GetProblem(), "make room"); err != nil || told != (outcome == running) {
			t.Errorf("%s: %v, %v", outcome, now.GetRotation(), err)
		}
	}
}

// jammed is a ledger that takes nothing.
type jammed struct{ Ledger }

func (jammed) Append(context.Context, ca.Entry) (uint64, error) {
	return 0, errors.New("its disk is full: make room")
}

// Who is told that nothing was done is told why, and not that ensignd does not answer.
func TestAnActThatIsNotRecordedIsNotDone(t *testing.T) {
	s, ctx := office(t.Context(), newCarousel())
	s.config.Ledger = jammed{}
	err := s.record(ctx, "uid:7", "renew", "proxy shop/web", "")
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "nothing was done: its disk is full: make room") {
		t.Error(err)
	}
}
