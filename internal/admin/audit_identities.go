package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/inventory"
)

// Fleet is what AuditIdentities asks beside the ledger and the reports.
type Fleet struct {
	// Live are the SVIDs that have not expired.
	Live func(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	// Sightings are the peers that Envoys met.
	Sightings func(ctx context.Context) ([]report.Sighting, error)
	// Cut is what is cut off now.
	Cut func() *revocation.List
	// Surges are the identities that were refused for asking too much.
	Surges func() []inventory.Surging
	// Mesh is who exists now.
	Mesh identity.Directory
	// LongestLife and MaxTokenAge are those of the profile and of renewals.
	LongestLife, MaxTokenAge time.Duration
}

// AuditIdentities holds what is issued, served and met against one another.
func (s *Service) AuditIdentities(ctx context.Context, r *ensignv1.AuditIdentitiesRequest) (*ensignv1.AuditIdentitiesResponse, error) {
	if _, err := s.authorize(ctx); err != nil {
		return nil, err
	}
	if s.config.Mesh() == nil {
		return nil, status.Error(codes.Unavailable, "the mesh is not loaded yet")
	}
	input, err := s.inventory(ctx, time.Now())
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	found, totals, err := inventory.Find(ctx, input)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	answer := &ensignv1.AuditIdentitiesResponse{
		Identities: uint32(totals.Identities), LiveSvids: uint32(totals.LiveSVIDs),
		Served: uint32(totals.Served), Sightings: uint32(totals.Sightings),
	}
	for _, f := range found {
		if r.Namespace == "" || f.In(r.Namespace) {
			answer.Findings = append(answer.Findings, &ensignv1.Finding{
				Kind: string(f.Kind), SpiffeId: f.SPIFFEID, Serial: f.Serial, Where: f.Where, Detail: f.Detail, At: timestamppb.New(f.At),
			})
		}
	}
	return answer, nil
}

func (s *Service) inventory(ctx context.Context, now time.Time) (in inventory.Input, err error) {
	fleet := s.config.Fleet
	in = inventory.Input{
		Now: now, Record: record{s.config.Ledger}, Mesh: fleet.Mesh, Surges: fleet.Surges(),
		Cut: map[string]inventory.Cut{}, LongestLife: fleet.LongestLife, MaxTokenAge: fleet.MaxTokenAge,
	}
	// What is served is read before what was issued: a certificate that is issued
	// between the two must not look unlogged.
	if in.Reports, err = s.config.Reports.All(ctx); err != nil {
		return in, err
	}
	if in.Sightings, err = fleet.Sightings(ctx); err != nil {
		return in, err
	}
	if in.Live, err = fleet.Live(ctx, now); err != nil {
		return in, err
	}
	list := fleet.Cut()
	since := map[uint64]time.Time{}
	for _, act := range list.Acts {
		since[act.Index] = act.Time
	}
	for _, c := range list.Certificates {
		in.Cut[c.Fingerprint] = inventory.Cut{Serial: c.Serial, Since: since[c.Act]}
	}
	return in, nil
}

// record answers the inventory's questions from the ledger.
type record struct{ ledger Ledger }

// Holds implements inventory.Record.
func (r record) Holds(ctx context.Context, serialOrFingerprint string) (bool, error) {
	_, err := r.ledger.Lookup(ctx, serialOrFingerprint)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Issued implements inventory.Record.
func (r record) Issued(ctx context.Context, spiffeID, issuerSubject string, notBefore, notAfter time.Time) (bool, error) {
	records, err := r.ledger.Ending(ctx, spiffeID, notAfter)
	if err != nil {
		return false, err
	}
	for _, one := range records {
		e, err := one.Entry()
		if err != nil {
			return false, err
		}
		if e.IssuerSubject == issuerSubject && e.NotBefore.Equal(notBefore) && e.NotAfter.Equal(notAfter) {
			return true, nil
		}
	}
	return false, nil
}
