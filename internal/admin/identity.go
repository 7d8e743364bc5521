package admin

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/mesh"
)

// ListIdentities joins who exists with who was ever issued an SVID: an identity
// that is gone and whose SVIDs still live must not be overlooked.
func (s *Service) ListIdentities(ctx context.Context, r *ensignv1.ListIdentitiesRequest) (*ensignv1.ListIdentitiesResponse, error) {
	if _, err := s.authorize(ctx); err != nil {
		return nil, err
	}
	snapshot := s.config.Mesh()
	if snapshot == nil {
		return nil, status.Error(codes.Unavailable, "the mesh is not loaded yet")
	}
	tallies, err := s.config.Ledger.Tallies(ctx, time.Now())
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	byID := present(snapshot)
	for _, tally := range tallies {
		id := byID[tally.SPIFFEID]
		if id == nil {
			if id = gone(tally.SPIFFEID); id == nil {
				continue
			}
			byID[tally.SPIFFEID] = id
		}
		id.LiveSvids = tally.Live
		id.LastIssuedAt, id.LastExpiresAt = timestamppb.New(tally.LastIssued), timestamppb.New(tally.LastExpires)
	}
	answer := &ensignv1.ListIdentitiesResponse{}
	for _, name := range slices.Sorted(maps.Keys(byID)) {
		if id := byID[name]; r.Namespace == "" || id.Namespace == r.Namespace {
			answer.Identities = append(answer.Identities, id)
		}
	}
	return answer, nil
}

// present are the accounts of the mesh with the pods that run as them.
func present(snapshot *mesh.Snapshot) map[string]*ensignv1.Identity {
	byID := map[string]*ensignv1.Identity{}
	for key := range snapshot.Accounts {
		account := identity.ServiceAccount{TrustDomain: snapshot.TrustDomain, Namespace: key.Namespace, Name: key.Name}
		byID[account.String()] = &ensignv1.Identity{
			SpiffeId: account.String(), Namespace: key.Namespace, ServiceAccount: key.Name, Present: true,
		}
	}
	for key, workload := range snapshot.Workloads {
		if id := byID[workload.Account.String()]; id != nil {
			id.Pods = append(id.Pods, key.Name)
		}
	}
	for _, id := range byID {
		slices.SortFunc(id.Pods, strings.Compare)
	}
	return byID
}

func gone(text string) *ensignv1.Identity {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return nil
	}
	account, err := identity.AccountFromID(id)
	if err != nil {
		return nil
	}
	return &ensignv1.Identity{SpiffeId: text, Namespace: account.Namespace, ServiceAccount: account.Name}
}
