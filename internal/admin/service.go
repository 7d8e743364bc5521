package admin

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/satoken"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/peercred"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// Tokens mints service-account tokens.
type Tokens interface {
	Mint(r satoken.Request) (satoken.Token, error)
}

// Ledger is the record of everything issued.
type Ledger interface {
	ca.Ledger
	Checkpoint() (note, verifierKey string, size uint64)
	NextCheckpoint(ctx context.Context, from, size uint64) (until uint64, note string, err error)
	Changed() <-chan struct{}
	Read(ctx context.Context, from, limit uint64) iter.Seq2[ledger.Record, error]
	Lookup(ctx context.Context, serialOrFingerprint string) (ledger.Record, error)
	Find(ctx context.Context, q ledger.Query) ([]ledger.Record, error)
	Ending(ctx context.Context, spiffeID string, notAfter time.Time) ([]ledger.Record, error)
	Tallies(ctx context.Context, now time.Time) ([]ledger.Tally, error)
}

// Reports are what agents last said.
type Reports interface {
	All(ctx context.Context) ([]report.Report, error)
	// Healthy says why reports can not be stored now.
	Healthy() error
}

// Proxies are the connected Envoys.
type Proxies interface {
	Proxies() []xds.ProxyStatus
	Holds() []xds.Hold
	Release(resource string) []xds.Hold
	Sent(name string) (*adminv3.ConfigDump, error)
}

// Agents are those that are connected; [*agents.Registry] knows them.
type Agents interface {
	// Fetch copies a page of an Envoy's admin port.
	Fetch(ctx context.Context, name string, page ensignv1.EnvoyPage, w io.Writer) error
	Renew(ctx context.Context, name string) error
	Agent(name string) (a agents.Agent, connected bool, changed <-chan struct{})
}

// Config joins the parts that the API asks.
type Config struct {
	Tokens  Tokens
	Ledger  Ledger
	Reports Reports
	Proxies Proxies
	Agents  Agents
	Fleet   Fleet

	Register   Register
	CRLs       CRLs
	Population Population

	Rotations Rotations
	Issuing   Issuing
	Upstream  func() Upstream

	TrustDomain spiffeid.TrustDomain
	// Mesh is the newest snapshot; nil before the first.
	Mesh func() *mesh.Snapshot
	// Admins may call over the network. Empty: nobody.
	Admins []spiffeid.ID
	Logger *slog.Logger
}

// Service implements ensign.v1.AdminService.
type Service struct {
	ensignv1.UnimplementedAdminServiceServer
	config Config
}

// New makes the service.
func New(c Config) *Service { return &Service{config: c} }

// authorize answers who acts, for the record: "uid:N" or a SPIFFE ID.
func (s *Service) authorize(ctx context.Context) (string, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(peercred.Info); ok {
			return fmt.Sprintf("uid:%d", info.UID), nil
		}
	}
	caller, ok := identity.CallerFrom(ctx)
	if !ok {
		return "", status.Error(codes.Unauthenticated, identity.ErrNoProof.Error())
	}
	// A bearer token can be copied by whoever reads it once; an admin proves a key.
	if caller.Proof != identity.ProofSVID {
		return "", status.Error(codes.PermissionDenied, "administration needs a client SVID, not a token")
	}
	if id := caller.Account.ID(); !slices.Contains(s.config.Admins, id) {
		return "", status.Errorf(codes.PermissionDenied, "%s may not administer: start ensignd with --admin %s", id, id)
	}
	// Such a caller keeps its streams, so that its proxies obey. It must not let itself
	// back in, nor do anything else with a key that somebody else may have.
	if list, _ := s.config.Register.Current(); slices.Contains(list.Identities, caller.Account.String()) {
		return "", status.Errorf(codes.PermissionDenied, "%s is in quarantine: who may read ensignd's admin socket can release it", caller.Account)
	}
	return caller.Account.String(), nil
}

// record puts an act into the ledger; it may take effect only after that.
func (s *Service) record(ctx context.Context, actor, verb, object, detail string) error {
	_, err := s.config.Ledger.Append(ctx, ca.Entry{
		Kind: ca.KindAdmin, Time: time.Now(), Actor: actor, Verb: verb, Object: object, Detail: detail,
	})
	if err != nil {
		s.config.Logger.ErrorContext(ctx, "admin act not recorded", "actor", actor, "verb", verb, "object", object, "error", err)
		return status.Error(codes.Internal, "nothing was done: "+err.Error())
	}
	s.config.Logger.InfoContext(ctx, "admin act", "actor", actor, "verb", verb, "object", object, "detail", detail)
	return nil
}
