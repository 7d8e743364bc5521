package admin

import (
	"context"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/peercred"
)

// TestAuthorize: who may act. An identity in quarantine keeps its streams so that its
// proxies obey, but a stolen admin key must not be able to release itself.
func TestAuthorize(t *testing.T) {
	admin := account("admin")
	from := func(c identity.Caller) context.Context { return identity.WithCaller(t.Context(), c) }
	byKey := from(identity.Caller{Account: admin, Proof: identity.ProofSVID})
	local := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: peercred.Info{UID: 7}})
	in := &revocation.List{Identities: []string{admin.String()}}
	for name, c := range map[string]struct {
		ctx   context.Context
		list  *revocation.List
		actor string
		code  codes.Code
	}{
		"an admin":                    {ctx: byKey, list: &revocation.List{}, actor: admin.String()},
		"an admin in quarantine":      {ctx: byKey, list: in, code: codes.PermissionDenied},
		"the socket, while one is in": {ctx: local, list: in, actor: "uid:7"},
		"an admin's token":            {ctx: from(identity.Caller{Account: admin, Proof: identity.ProofToken}), list: &revocation.List{}, code: codes.PermissionDenied},
		"somebody else":               {ctx: from(identity.Caller{Account: account("web"), Proof: identity.ProofSVID}), list: &revocation.List{}, code: codes.PermissionDenied},
		"nobody":                      {ctx: t.Context(), list: &revocation.List{}, code: codes.Unauthenticated},
	} {
		s := New(Config{Register: &drill{list: *c.list}, Admins: []spiffeid.ID{admin.ID()}, TrustDomain: admin.TrustDomain})
		if actor, err := s.authorize(c.ctx); status.Code(err) != c.code || actor != c.actor {
			t.Errorf("%s: %q, %v", name, actor, err)
		}
		if c.code == codes.OK {
			continue
		}
		release := &ensignv1.CutOffRequest{Verb: "release", Kind: "id", Value: admin.String()}
		if _, err := s.CutOff(c.ctx, release); status.Code(err) != c.code {
			t.Errorf("%s releases: %v", name, err)
		}
	}
}
