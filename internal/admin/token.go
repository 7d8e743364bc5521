package admin

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/server"
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
		return nil, status.Error(server.Code(err), err.Error())
	}
	object := "token " + r.Namespace + "/" + r.ServiceAccount
	if r.Pod != "" {
		object += " pod " + r.Pod
	}
	detail := fmt.Sprintf("jti %s audience %s expires %s", token.ID, r.Audience, token.Expires.UTC().Format(time.RFC3339))
	if err := s.record(ctx, actor, "create", object, detail); err != nil {
		return nil, err
	}
	return &ensignv1.CreateTokenResponse{Token: token.Text, TokenId: token.ID, ExpiresAt: timestamppb.New(token.Expires)}, nil
}
