package admin

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Register is who is cut off; [*revocation.Register] is one.
type Register interface {
	Do(ctx context.Context, actor string, v revocation.Verb, t revocation.Target, reason string) (revocation.Act, *revocation.List, error)
	Plan(ctx context.Context, v revocation.Verb, t revocation.Target) (revocation.Plan, error)
	Current() (*revocation.List, <-chan struct{})
}

// CRLs are those in force.
type CRLs interface {
	Current() (*revocation.Set, <-chan struct{})
	// Introducing is the issuer that waits for proxies to have its CRL; nil if none does.
	Introducing() *revocation.Introduction
}

// CutOff cuts off, or lets back in. The act is in the ledger, under the caller's
// name, before anything else happens. It does not ask whether the mesh is loaded:
// who must be kept out is kept out first.
func (s *Service) CutOff(ctx context.Context, r *ensignv1.CutOffRequest) (*ensignv1.CutOffResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	verb := revocation.Verb(r.Verb)
	target, err := revocation.ParseTarget(s.config.TrustDomain, r.Kind, r.Value)
	if err != nil {
		return nil, cutOffStatus(err)
	}
	if err := s.spared(verb, target); err != nil {
		return nil, err
	}
	if r.Plan {
		return s.plan(ctx, verb, target)
	}
	act, list, err := s.config.Register.Do(ctx, actor, verb, target, r.Reason)
	if err != nil {
		return nil, cutOffStatus(err)
	}
	return &ensignv1.CutOffResponse{Act: actOf(act, list), Revision: list.Revision}, nil
}

// spared refuses to revoke the issuer in force while nobody can make another under its
// root. Agents take no certificate of ensignd's that is of a revoked issuer, and so would
// not hear of the root that has to come next.
func (s *Service) spared(verb revocation.Verb, target revocation.Target) error {
	now := s.config.Issuing.Status()
	if verb != revocation.Revoke || target.Kind != revocation.IssuerSerial || !now.Sole || now.Certificate.SerialNumber.Text(16) != target.Value {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition, "issuer %s is the only one that its root has: without it nothing can be issued, and no agent would take ensignd for ensignd, and hear of another root; "+
		"run `ensign ca rotate root --compromised` (with --via, if that place is not to be trusted), which revokes it at its end", target.Value)
}

// cutOffStatus is the code of an error of the register.
func cutOffStatus(err error) error {
	switch {
	case errors.Is(err, revocation.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, revocation.ErrNobody):
		return status.Error(codes.NotFound, err.Error())
	}
	// ensignd is there, and says so itself: most likely the ledger can not be written.
	return status.Error(codes.Internal, err.Error())
}

// ListCutOffs answers what is in force.
func (s *Service) ListCutOffs(ctx context.Context, _ *ensignv1.ListCutOffsRequest) (*ensignv1.ListCutOffsResponse, error) {
	if _, err := s.authorize(ctx); err != nil {
		return nil, err
	}
	list, _ := s.config.Register.Current()
	set, _ := s.config.CRLs.Current()
	answer := &ensignv1.ListCutOffsResponse{
		Revision: list.Revision, Certificates: uint32(len(list.Certificates)), Identities: list.Identities,
		CrlsInForce: len(set.CRLs) > 0, CrlProblem: set.Problem,
	}
	for _, act := range list.Acts {
		answer.Acts = append(answer.Acts, actOf(act, list))
	}
	return answer, nil
}

// actOf is an act, with the live SVIDs of the list that it is the first to cover.
func actOf(act revocation.Act, list *revocation.List) *ensignv1.CutOffAct {
	out := &ensignv1.CutOffAct{
		Index: act.Index, Verb: string(act.Verb), Kind: string(act.Target.Kind), Value: act.Target.Value,
		Reason: act.Reason, Actor: act.Actor, Time: timestamppb.New(act.Time),
	}
	for _, c := range list.Certificates {
		if c.Act == act.Index {
			out.LiveSvids++
		}
	}
	return out
}
