package admin

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Issuing is the issuer in force; [*ca.Service] knows it.
type Issuing interface {
	Status() ca.IssuerStatus
	// Healthy says why nothing can be issued now.
	Healthy(now time.Time) error
}

// Upstream is the place where the signing root lives.
type Upstream struct {
	Place string
	// Problem is why the next issuer could not be certified; nil if it could, as far as is known.
	Problem error
	// CredentialExpires is when ensignd's token there ends; zero: never, or there is none.
	CredentialExpires time.Time
}

// GetAuthority answers where the root lives, what is trusted, and the rotation.
func (s *Service) GetAuthority(ctx context.Context, _ *ensignv1.GetAuthorityRequest) (*ensignv1.Authority, error) {
	if _, err := s.authorize(ctx); err != nil {
		return nil, err
	}
	now, _, err := s.authority(ctx)
	return now, err
}

const (
	// statusApart is the least time between two messages of a watch, statusEvery the most
	// that passes before it looks by itself: issuer and place change without a word.
	statusApart = 50 * time.Millisecond
	statusEvery = time.Second
)

// WatchAuthority streams the same with every change, and ends when no rotation runs.
func (s *Service) WatchAuthority(_ *ensignv1.GetAuthorityRequest, stream ensignv1.AdminService_WatchAuthorityServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	var told *ensignv1.Authority
	for {
		now, changed, err := s.authority(ctx)
		if err != nil {
			return err
		}
		// The clock alone is no news.
		if told != nil {
			told.Now = now.Now
		}
		if told == nil || !proto.Equal(told, now) {
			if err := stream.Send(now); err != nil {
				return err
			}
			told = proto.CloneOf(now)
		}
		if now.Rotation.GetOutcome() != running {
			return nil
		}
		if err := pause(ctx, statusApart, nil); err != nil {
			return err
		}
		if err := pause(ctx, statusEvery, changed); err != nil {
			return err
		}
	}
}

// running is the outcome of a rotation that has none yet.
const running = "running"

// authority is where everything stands.
func (s *Service) authority(ctx context.Context) (*ensignv1.Authority, <-chan struct{}, error) {
	now, changed, err := s.config.Rotations.Status(ctx)
	if err != nil {
		return nil, nil, status.Error(codes.Unavailable, err.Error())
	}
	clock := time.Now()
	issuer := s.config.Issuing.Status()
	out := &ensignv1.Authority{Now: timestamppb.New(clock), Bundle: now.Trust.Bundle.Hash(), Issuer: issuerOf(issuer), Upstream: upstreamOf(s.config.Upstream())}
	if err := s.config.Issuing.Healthy(clock); err != nil {
		out.Issuer.Problem = err.Error()
	}
	out.Issuer.Introduction = introductionOf(s.config.CRLs.Introducing())
	// Where the place signs each SVID, nothing is issued without it.
	if !issuer.Remote {
		out.Upstream.IssuingUntil = out.Issuer.NotAfter
	}
	roots := map[string]*ensignv1.Root{}
	for _, r := range now.Roots {
		root := rootOf(r)
		roots[r.Fingerprint] = root
		out.Roots = append(out.Roots, root)
	}
	if now.Rotation != nil {
		out.Rotation = rotationOf(now.Rotation)
		out.Rotation.From, out.Rotation.To = roots[now.Rotation.From], roots[now.Rotation.To]
		s.deaf(out.Rotation)
	}
	return out, changed, nil
}

// deaf says of a rotation that runs why nobody's report is heard, if that is so: else it
// would look as if everybody were late.
func (s *Service) deaf(r *ensignv1.Rotation) {
	err := s.config.Reports.Healthy()
	if err == nil || r.Outcome != running {
		return
	}
	told := "keeping what agents report, so that nobody counts who acknowledges now: " + err.Error()
	if r.Problem != "" {
		told = r.Problem + "; " + told
	}
	r.Problem = told
}

func issuerOf(i ca.IssuerStatus) *ensignv1.IssuerStatus {
	if i.Certificate == nil {
		return &ensignv1.IssuerStatus{}
	}
	return &ensignv1.IssuerStatus{
		Serial: i.Certificate.SerialNumber.Text(16), Subject: i.Certificate.Subject.String(), Root: i.Root,
		NotBefore: timestamppb.New(i.Certificate.NotBefore), NotAfter: timestamppb.New(i.Certificate.NotAfter), ReplaceAt: stamp(i.ReplaceAt),
	}
}

// introductionOf is the next issuer, with the first by name of those that it waits for.
func introductionOf(i *revocation.Introduction) *ensignv1.Introduction {
	if i == nil {
		return nil
	}
	return &ensignv1.Introduction{
		Serial: i.Issuer, Laggards: i.Waiting[:min(len(i.Waiting), shownLaggards)], Waiting: uint32(len(i.Waiting)), Until: stamp(i.Until),
	}
}

func upstreamOf(u Upstream) *ensignv1.UpstreamStatus {
	out := &ensignv1.UpstreamStatus{Place: u.Place, CredentialExpiresAt: stamp(u.CredentialExpires)}
	if u.Problem != nil {
		out.Problem, out.ProblemSince = u.Problem.Error(), stamp(rotation.SinceOf(u.Problem))
	}
	return out
}

func rootOf(r rotation.RootStatus) *ensignv1.Root {
	out := &ensignv1.Root{
		Fingerprint: r.Fingerprint, Place: r.Place, Name: r.Name,
		Trusted: r.Trusted, Signing: r.Signing, Compromised: r.Compromised, LiveSvids: uint32(r.LiveSVIDs),
	}
	if c := r.Certificate; c != nil {
		out.Subject, out.NotBefore, out.NotAfter = c.Subject.String(), timestamppb.New(c.NotBefore), timestamppb.New(c.NotAfter)
	}
	if r.Problem != nil {
		out.Problem, out.ProblemSince = r.Problem.Error(), stamp(r.ProblemSince)
	}
	return out
}

// stamp is a time, unset for the zero one.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
