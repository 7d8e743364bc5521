package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/satoken"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// CreateToken mints a token for an account that exists.
func (s *Service) CreateToken(ctx context.Context, r *ensignv1.CreateTokenRequest) (*ensignv1.CreateTokenResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	token, err := s.config.Tokens.Mint(satoken.Request{
		Namespace: r.Namespace, Account: r.ServiceAccount, Pod: r.Pod, Audience: r.Audience, TTL: r.Ttl.AsDuration(),
	})
	if err != nil {
		return nil, status.Error(mintCode(err), err.Error())
	}
	object := "token " + r.Namespace + "/" + r.ServiceAccount
	if r.Pod != "" {
		object += " pod " + r.Pod
	}
	detail := fmt.Sprintf("jti %s audience %q expires %s", token.ID, cmp.Or(r.Audience, satoken.DefaultAudience), token.Expires.UTC().Format(time.RFC3339))
	if err := s.record(ctx, actor, "create", object, detail); err != nil {
		return nil, err
	}
	return &ensignv1.CreateTokenResponse{Token: token.Text, TokenId: token.ID, ExpiresAt: timestamppb.New(token.Expires)}, nil
}

// mintCode maps what can be wrong with a request for a token. The caller is
// known here: nothing of this is about its own proof.
func mintCode(err error) codes.Code {
	switch {
	case errors.Is(err, identity.ErrUnknownAccount), errors.Is(err, identity.ErrUnknownPod):
		return codes.NotFound
	case errors.Is(err, identity.ErrMalformed):
		return codes.InvalidArgument
	case errors.Is(err, identity.ErrMismatch):
		return codes.FailedPrecondition
	}
	return codes.Internal
}
