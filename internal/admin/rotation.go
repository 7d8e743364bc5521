package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Rotations replaces the root; [*rotation.Manager] does.
type Rotations interface {
	Begin(ctx context.Context, actor string, o rotation.Options) error
	Plan(ctx context.Context, o rotation.Options) (rotation.Plan, error)
	Status(ctx context.Context) (*rotation.Status, <-chan struct{}, error)
	Steering
}

// Steering is what a person does to a rotation that runs.
type Steering interface {
	Pause(ctx context.Context, actor, reason string) error
	Resume(ctx context.Context, actor, reason string) error
	Rollback(ctx context.Context, actor, reason string) error
}

// RotateRoot begins a rotation of the root, or only says what that would do. The
// rotation's first entry, under the caller's name, is in the ledger when it returns;
// from there on it goes on by itself.
func (s *Service) RotateRoot(ctx context.Context, r *ensignv1.RotateRootRequest) (*ensignv1.RotateRootResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	options, err := optionsOf(r)
	if err != nil {
		return nil, err
	}
	plan, err := s.config.Rotations.Plan(ctx, options)
	if err != nil {
		return nil, rotationStatus(err)
	}
	answer := &ensignv1.RotateRootResponse{Plan: planOf(plan)}
	if r.Plan {
		return answer, nil
	}
	if err := s.config.Rotations.Begin(ctx, actor, options); err != nil {
		return nil, rotationStatus(err)
	}
	answer.Authority, _, err = s.authority(ctx)
	return answer, err
}

// SteerRotation pauses, resumes or rolls back.
func (s *Service) SteerRotation(ctx context.Context, r *ensignv1.SteerRotationRequest) (*ensignv1.SteerRotationResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	do := map[string]func(context.Context, string, string) error{
		"pause": s.config.Rotations.Pause, "resume": s.config.Rotations.Resume, "rollback": s.config.Rotations.Rollback,
	}[r.Verb]
	if do == nil {
		return nil, status.Errorf(codes.InvalidArgument, "%.40q is nothing that can be done to a rotation: pause, resume or rollback", r.Verb)
	}
	if err := do(ctx, actor, r.Reason); err != nil {
		return nil, rotationStatus(err)
	}
	answer := &ensignv1.SteerRotationResponse{}
	answer.Authority, _, err = s.authority(ctx)
	return answer, err
}

// rotationStatus is the code of an error of a rotation.
func rotationStatus(err error) error {
	for _, refusal := range []error{rotation.ErrBusy, rotation.ErrNone, rotation.ErrRefused} {
		if errors.Is(err, refusal) {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
	}
	if errors.Is(err, ca.ErrLedger) {
		// ensignd is there, and says so itself.
		return status.Error(codes.Internal, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// policies are those for laggards, as they are stored; package rotation chooses where
// a person did not.
var policies = map[ensignv1.Laggards_Policy]rotation.Policy{
	ensignv1.Laggards_POLICY_UNSPECIFIED: "",
	ensignv1.Laggards_WAIT:               rotation.Wait,
	ensignv1.Laggards_SKIP_OFFLINE:       rotation.SkipOffline,
	ensignv1.Laggards_ABORT:              rotation.Abort,
}

func optionsOf(r *ensignv1.RotateRootRequest) (rotation.Options, error) {
	o := rotation.Options{Via: r.Via, Compromised: r.Compromised, WithoutLink: r.WithoutLink, Reason: r.Reason}
	policy, known := policies[r.Laggards.GetPolicy()]
	if !known {
		return o, status.Errorf(codes.InvalidArgument, "%s is no policy for laggards", r.Laggards.GetPolicy())
	}
	o.Laggards.Policy = policy
	var err error
	if o.Window, err = durationOf("the window", r.Window); err != nil {
		return o, err
	}
	o.Laggards.After, err = durationOf("the time for laggards", r.Laggards.GetAfter())
	return o, err
}

// durationOf is a duration of at most a year.
func durationOf(what string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 || d.AsDuration() > 365*24*time.Hour {
		return 0, status.Error(codes.InvalidArgument, fmt.Sprintf("%s is not between 0 and a year", what))
	}
	return d.AsDuration(), nil
}

// shownLaggards is how many are sent by name: a mesh can have thousands.
const shownLaggards = 100

func planOf(p rotation.Plan) *ensignv1.RotationPlan {
	out := &ensignv1.RotationPlan{
		From: rootOf(p.From), To: &ensignv1.Root{Place: p.Place}, Instances: uint32(p.Instances), Connected: uint32(p.Connected),
		Laggards: laggardsOf(p.Laggards), Steps: p.Steps, Warnings: p.Warnings,
	}
	if more := len(p.Laggards) - shownLaggards; more > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d more would keep a gate waiting", more))
	}
	if p.Refusal != nil {
		out.Refusal = p.Refusal.Error()
	}
	return out
}
