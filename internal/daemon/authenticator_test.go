package daemon

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

type trusting struct{}

func (trusting) Authenticate(context.Context, identity.Credentials) (identity.Caller, error) {
	return identity.Caller{Pod: "web-1"}, nil
}

func TestNobodyIsJudgedBeforeTheMeshIsLoaded(t *testing.T) {
	a := whenLoaded{world: &world{}, inner: trusting{}}
	if _, err := a.Authenticate(t.Context(), identity.Credentials{}); server.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	a.world.snapshot.Store(&mesh.Snapshot{})
	if caller, err := a.Authenticate(t.Context(), identity.Credentials{}); err != nil || caller.Pod != "web-1" {
		t.Errorf("%+v, %v", caller, err)
	}
}
