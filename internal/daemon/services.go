package daemon

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/ca/revocation"
	caserver "github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
	"github.com/ensign-mesh/ensign/identity/satoken"
	"github.com/ensign-mesh/ensign/internal/admin"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/inventory"
	"github.com/ensign-mesh/ensign/xds"
)

// services are what is served on 15012.
type services struct {
	authenticator identity.Authenticator
	signing       *caserver.Server
	agents        *agents.Service
	admin         *admin.Service
	streams       *xds.Server
}

// serving is what services are made of.
type serving struct {
	config    config
	authority *authority
	world     *world
	orders    *orders
	people    *population
	followers *followers
	speakers  nodes
	registry  *agents.Registry
	streams   *xds.Server
	tracing   *tracing
	log       *slog.Logger
}

func (s serving) services() (*services, error) {
	a := s.authority
	key, err := a.tokenKey()
	if err != nil {
		return nil, err
	}
	tokens := satoken.Config{TrustDomain: s.config.domain, Directory: s.world}
	byToken, err := satoken.NewAuthenticator(&key.PublicKey, tokens)
	if err != nil {
		return nil, err
	}
	minter, err := satoken.NewMinter(key, tokens)
	if err != nil {
		return nil, err
	}
	bySVID, err := clientcert.NewAuthenticator(clientcert.Config{
		TrustDomain: s.config.domain, Directory: s.world, Binding: a.binding, MaxTokenAge: clientcert.DefaultMaxTokenAge,
	})
	if err != nil {
		return nil, err
	}
	signing, err := caserver.New(caserver.Config{
		Issuer: a.issuing, Metrics: a.metrics, Limits: s.config.limits, Issued: s.issuedSince, Awaited: a.awaited, Logger: s.log, Tracing: s.tracing,
	})
	if err != nil {
		return nil, err
	}
	return &services{
		authenticator: whenLoaded{world: s.world, inner: identity.Combined(byToken, bySVID)},
		signing:       signing,
		agents: agents.NewService(agents.Config{
			Registry: s.registry, Reports: s.followers.testimony, Nodes: s.speakers, Orders: s.orders, Roots: &taught{roots: a.roots},
			Ledger: a.ledger, Logger: s.log,
		}),
		admin:   s.admin(minter, signing),
		streams: s.streams,
	}, nil
}

func (s serving) admin(minter *satoken.Minter, signing *caserver.Server) *admin.Service {
	a := s.authority
	return admin.New(admin.Config{
		Tokens: minter, Ledger: a.ledger, Reports: a.reports, Proxies: s.streams, Agents: s.registry,
		Fleet: admin.Fleet{
			Live: a.ledger.LiveSVIDs, Sightings: a.reports.Sightings, Surges: func() []inventory.Surging { return surging(signing) },
			Cut:  func() *revocation.List { list, _ := a.register.Current(); return list },
			Mesh: s.world, LongestLife: s.config.profile.Longest(), MaxTokenAge: clientcert.DefaultMaxTokenAge,
		},
		Register: a.register, CRLs: a.crls, Population: s.people, Rotations: a.roots, Issuing: issuability{a}, Upstream: a.upstream,
		TrustDomain: s.config.domain, Mesh: s.world.Snapshot, Admins: s.config.admins, Logger: s.log,
	})
}

// issuedSince is how many certificates count against an identity's day. Those that a
// rotation asked for do not, which a new process learns from the ledger.
func (s serving) issuedSince(ctx context.Context, spiffeID string, since time.Time) (int, error) {
	all, err := s.authority.ledger.CountSince(ctx, spiffeID, since)
	if err != nil {
		return 0, err
	}
	asked, err := s.followers.census.moved(ctx, spiffeID, since)
	return max(0, all-asked), err
}

// surging are those who asked the CA for too much.
func surging(signing *caserver.Server) []inventory.Surging {
	var list []inventory.Surging
	for _, one := range signing.Surges() {
		list = append(list, inventory.Surging{SPIFFEID: one.SPIFFEID, Since: one.Since, Refused: one.Refused})
	}
	return list
}

func (s *services) register(server grpc.ServiceRegistrar) {
	s.streams.Register(server)
	s.signing.Register(server)
	ensignv1.RegisterAgentServiceServer(server, s.agents)
	ensignv1.RegisterAdminServiceServer(server, s.admin)
}
