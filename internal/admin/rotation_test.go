package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/peercred"
)

// carousel is a manager of roots that the test turns.
type carousel struct {
	mu      sync.Mutex
	status  rotation.Status
	changed chan struct{}
	plan    rotation.Plan
	err     error
	acts    []string
	options rotation.Options
	looks   int
}

func newCarousel() *carousel {
	c := &carousel{changed: make(chan struct{})}
	c.status = rotation.Status{
		Roots: []rotation.RootStatus{{Fingerprint: "f1", Place: "builtin", Name: "root", Trusted: true, Signing: true, LiveSVIDs: 3}},
		Trust: &rotation.Trust{},
	}
	return c
}

func (c *carousel) act(actor, verb, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.acts = append(c.acts, strings.TrimSpace(actor+" "+verb+" "+reason))
	}
	return c.err
}
func (c *carousel) Begin(_ context.Context, actor string, o rotation.Options) error {
	c.options = o
	return c.act(actor, "begin", o.Reason)
}
func (c *carousel) Pause(_ context.Context, actor, why string) error {
	return c.act(actor, "pause", why)
}
func (c *carousel) Resume(_ context.Context, actor, why string) error {
	return c.act(actor, "resume", why)
}
func (c *carousel) Rollback(_ context.Context, actor, why string) error {
	return c.act(actor, "rollback", why)
}
func (c *carousel) Plan(context.Context, rotation.Options) (rotation.Plan, error) {
	return c.plan, nil
}

func (c *carousel) Status(context.Context) (*rotation.Status, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	now := c.status
	return &now, c.changed, nil
}

func (c *carousel) looked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks
}

// turn makes a rotation the one that is shown, and says so.
func (c *carousel) turn(r rotation.Rotation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Rotation = &r
	close(c.changed)
	c.changed = make(chan struct{})
}

// mint is an issuer with a name, and perhaps the only one of its root.
type mint struct{ sole bool }

func (m mint) Status() ca.IssuerStatus {
	return ca.IssuerStatus{Certificate: &x509.Certificate{SerialNumber: big.NewInt(0x1f), NotAfter: time.Unix(9, 0)}, Root: "f1", ReplaceAt: time.Unix(5, 0), Sole: m.sole}
}
func (mint) Healthy(time.Time) error { return errors.New("nothing is issued") }

// office is the service over a carousel, and a context of somebody on the socket.
func office(ctx context.Context, c *carousel) (*Service, context.Context) {
	s := New(Config{
		Register: &drill{}, CRLs: without{}, Rotations: c, Issuing: mint{}, Logger: slog.New(slog.DiscardHandler),
		Upstream: func() Upstream {
			return Upstream{Place: "vault", Problem: errors.New("sealed"), CredentialExpires: time.Unix(7, 0)}
		},
		Reports: &cabinet{},
	})
	return s, peer.NewContext(ctx, &peer.Peer{AuthInfo: peercred.Info{UID: 7}})
}

func TestARotationBeginsInTheNameOfWhoAsked(t *testing.T) {
	c := newCarousel()
	c.plan = rotation.Plan{From: c.status.Roots[0], Place: "vault", Instances: 2, Connected: 1, Steps: []string{"a"}, Refusal: errors.New("no")}
	for n := range 150 {
		c.plan.Laggards = append(c.plan.Laggards, rotation.Laggard{Name: fmt.Sprintf("shop/web-%03d", n), Unverifiable: true})
	}
	s, ctx := office(t.Context(), c)
	asked := &ensignv1.RotateRootRequest{
		Via: "vault", Window: durationpb.New(time.Minute), Reason: "why", Plan: true,
		Laggards: &ensignv1.Laggards{Policy: ensignv1.Laggards_SKIP_OFFLINE, After: durationpb.New(time.Hour)},
	}
	answer, err := s.RotateRoot(ctx, asked)
	if p := answer.GetPlan(); err != nil || len(c.acts) != 0 || answer.Authority != nil || p.Refusal != "no" || p.To.Place != "vault" || p.From.Fingerprint != "f1" ||
		len(p.Laggards) != shownLaggards || len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], "50 more") {
		t.Errorf("plan: %v, %v, acts %v", answer, err, c.acts)
	}
	asked.Plan = false
	answer, err = s.RotateRoot(ctx, asked)
	want := rotation.Options{Via: "vault", Window: time.Minute, Reason: "why", Laggards: rotation.Laggards{Policy: rotation.SkipOffline, After: time.Hour}}
	if err != nil || answer.Authority == nil || c.options != want || len(c.acts) != 1 || c.acts[0] != "uid:7 begin why" {
		t.Errorf("%v, %v: %v with %+v", answer, err, c.acts, c.options)
	}
	for _, verb := range []string{"pause", "resume", "rollback"} {
		if steered, err := s.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: verb, Reason: "r"}); err != nil || steered.Authority == nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if got := strings.Join(c.acts[1:], ","); got != "uid:7 pause r,uid:7 resume r,uid:7 rollback r" {
		t.Error(got)
	}
}

func TestWhatIsNotBegun(t *testing.T) {
	long, negative := durationpb.New(9000*time.Hour), durationpb.New(-1)
	for name, c := range map[string]struct {
		asked *ensignv1.RotateRootRequest
		err   error
		want  codes.Code
	}{
		"a rotation runs":    {&ensignv1.RotateRootRequest{}, fmt.Errorf("%w: x", rotation.ErrBusy), codes.FailedPrecondition},
		"refused":            {&ensignv1.RotateRootRequest{}, rotation.ErrRefused, codes.FailedPrecondition},
		"no ledger":          {&ensignv1.RotateRootRequest{}, ca.ErrLedger, codes.Internal},
		"a window of a year": {&ensignv1.RotateRootRequest{Window: long}, nil, codes.InvalidArgument},
		"a negative window":  {&ensignv1.RotateRootRequest{Window: negative}, nil, codes.InvalidArgument},
		"a negative time":    {&ensignv1.RotateRootRequest{Laggards: &ensignv1.Laggards{After: negative}}, nil, codes.InvalidArgument},
		"no policy":          {&ensignv1.RotateRootRequest{Laggards: &ensignv1.Laggards{Policy: 9}}, nil, codes.InvalidArgument},
	} {
		turn := newCarousel()
		turn.err = c.err
		s, ctx := office(t.Context(), turn)
		if _, err := s.RotateRoot(ctx, c.asked); status.Code(err) != c.want || len(turn.acts) != 0 {
			t.Errorf("%s: %v, %v", name, err, turn.acts)
		}
	}
	turn := newCarousel()
	turn.err = rotation.ErrNone
	s, ctx := office(t.Context(), turn)
	if _, err := s.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: "resume"}); status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
	if _, err := s.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: "finish"}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

// TestOnlyAdminsTurnTheRoot: none of these RPCs answers somebody else.
func TestOnlyAdminsTurnTheRoot(t *testing.T) {
	turn := newCarousel()
	s, _ := office(t.Context(), turn)
	s.config.Admins = []spiffeid.ID{account("admin").ID()}
	s.config.Register = &drill{list: revocation.List{}}
	ctx := t.Context()
	_, rotate := s.RotateRoot(ctx, &ensignv1.RotateRootRequest{})
	_, steer := s.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: "rollback"})
	_, get := s.GetAuthority(ctx, nil)
	_, renew := s.RenewProxy(ctx, &ensignv1.RenewProxyRequest{})
	watched := s.WatchAuthority(nil, monitor{ctx: ctx})
	for n, err := range []error{rotate, steer, get, renew, watched} {
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%d: %v", n, err)
		}
	}
	if len(turn.acts) != 0 || turn.looked() != 0 {
		t.Errorf("%v, %d looks", turn.acts, turn.looked())
	}
}

// monitor is an admin who watches the authority.
type monitor struct {
	ensignv1.AdminService_WatchAuthorityServer
	ctx   context.Context
	shown chan *ensignv1.Authority
}

func (m monitor) Context() context.Context { return m.ctx }
func (m monitor) Send(a *ensignv1.Authority) error {
	m.shown <- a
	return nil
}

func TestTheAuthorityIsWatchedUntilNoRotationRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarousel()
		c.turn(rotation.Rotation{ID: "aa", From: "f1", Step: rotation.Distributing, Outcome: running, Gate: rotation.Gate{Name: "new-bundle", Instances: 5, Ready: 1, Gone: 1, Skipped: 1}})
		s, ctx := office(t.Context(), c)
		m, ended := monitor{ctx: ctx, shown: make(chan *ensignv1.Authority, 100)}, make(chan error, 1)
		go func() { ended <- s.WatchAuthority(nil, m) }()
		first := <-m.shown
		if r := first.Rotation; r.Step != "distributing" || r.From.GetLiveSvids() != 3 || r.To != nil || r.Gate.Waiting != 2 {
			t.Errorf("%v", r)
		}
		if first.Upstream.Problem != "sealed" || first.Upstream.IssuingUntil.AsTime().Unix() != 9 || first.Issuer.Serial != "1f" || first.Issuer.Problem == "" || first.Upstream.CredentialExpiresAt.AsTime().Unix() != 7 {
			t.Errorf("%v, %v", first.Upstream, first.Issuer)
		}
		time.Sleep(10 * time.Second)
		if len(m.shown) != 0 {
			t.Errorf("it says again: %v", <-m.shown)
		}
		begun := time.Now()
		c.turn(rotation.Rotation{ID: "aa", Step: rotation.Activating, Outcome: running})
		if next := <-m.shown; next.Rotation.Step != "activating" || time.Since(begun) > statusApart {
			t.Errorf("%v after %s", next.Rotation, time.Since(begun))
		}
		looks := c.looked()
		for n := range 1000 {
			c.turn(rotation.Rotation{ID: "aa", Step: rotation.Activating, Outcome: running, Problem: fmt.Sprint(n)})
			time.Sleep(time.Millisecond)
		}
		if looks = c.looked() - looks; looks > 25 {
			t.Errorf("%d looks in a second", looks)
		}
		for len(m.shown) > 0 {
			<-m.shown
		}
		c.turn(rotation.Rotation{ID: "aa", Step: rotation.Done, Outcome: "completed"})
		for last := range m.shown {
			if last.Rotation.Outcome == "completed" {
				break
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
