package xds

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

var trustDomain = spiffeid.RequireTrustDomainFromString("cluster.local")

// world is a server whose units come from a table, on a real gRPC wire.
type world struct {
	t      testing.TB
	server *Server
	reg    *prometheus.Registry
	listen *bufconn.Listener

	mu    sync.Mutex
	table map[unitID][]build.Resource
	in    map[*mesh.Inbound][]build.Resource
	snap  *mesh.Snapshot
}

// newWorld is a ready server: namespaces shop and bank with the accounts web and
// db, the pods web-1, web-2 (as web) and db-1 (as db) in each.
func newWorld(t testing.TB, tune ...func(*Config)) *world {
	w := &world{t: t, reg: prometheus.NewRegistry(), listen: bufconn.Listen(1 << 20), table: map[unitID][]build.Resource{}, in: map[*mesh.Inbound][]build.Resource{}}
	config := Config{Logger: slog.New(slog.DiscardHandler), Registerer: w.reg}
	for _, f := range tune {
		f(&config)
	}
	server, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	server.catalog.make = maker{
		unit: func(_ *mesh.Snapshot, id unitID, _ build.Scope) []build.Resource {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.table[id]
		},
		inbound: func(_ *mesh.Snapshot, in *mesh.Inbound) []build.Resource {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.in[in]
		},
		recycle: build.Recycle,
		widen:   func(r build.Resource, ids []string) build.Resource { return clusterOf(r.Name, "wide", ids...) },
	}
	w.server = server
	w.snap = &mesh.Snapshot{
		Generation: 1, TrustDomain: trustDomain, Config: &mesh.Config{ClusterDomain: "cluster.local"},
		Accounts: map[mesh.Key]*mesh.Account{}, Workloads: map[mesh.Key]*mesh.Workload{},
		Services: map[string]*mesh.Service{}, Endpoints: map[string]*mesh.EndpointSet{},
		Denied: &mesh.Denied{},
	}
	for _, ns := range []string{"shop", "bank"} {
		for _, sa := range []string{"web", "db"} {
			w.snap.Accounts[mesh.Key{Namespace: ns, Name: sa}] = &mesh.Account{}
		}
		for pod, sa := range map[string]string{"web-1": "web", "web-2": "web", "db-1": "db"} {
			key := mesh.Key{Namespace: ns, Name: pod}
			w.snap.Workloads[key] = &mesh.Workload{Ref: mesh.Ref{Kind: "Pod", Key: key}, Account: account(ns, sa)}
		}
	}
	server.Update(w.snap, mesh.ChangeSet{})
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.StreamInterceptor(proven))
	server.Register(g)
	go func() { _ = g.Serve(w.listen) }()
	t.Cleanup(g.Stop)
	return w
}

func account(ns, sa string) identity.ServiceAccount {
	return identity.ServiceAccount{TrustDomain: trustDomain, Namespace: ns, Name: sa}
}

// proven believes the caller that the metadata names, as the way in would after
// checking its proof.
func proven(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("sa")) == 0 {
		return handle(srv, stream)
	}
	caller := identity.Caller{Account: account(md.Get("ns")[0], md.Get("sa")[0]), Expires: time.Now().Add(24 * time.Hour)}
	if pod := md.Get("pod"); len(pod) > 0 {
		caller.Pod = pod[0]
	}
	if ttl := md.Get("ttl"); len(ttl) > 0 {
		d, _ := time.ParseDuration(ttl[0])
		caller.Expires = time.Now().Add(d)
	}
	ctx, cancel := context.WithDeadline(identity.WithCaller(ctx, caller), caller.Expires)
	defer cancel()
	return handle(srv, &provenStream{stream, ctx})
}

type provenStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (p *provenStream) Context() context.Context { return p.ctx }

// change alters the world under its lock and pushes it.
func (w *world) change(ch mesh.ChangeSet, alter func(*mesh.Snapshot)) {
	w.mu.Lock()
	next := *w.snap
	next.Generation++
	next.Accounts = clone(w.snap.Accounts)
	next.Workloads = clone(w.snap.Workloads)
	next.Services = clone(w.snap.Services)
	alter(&next)
	w.snap = &next
	w.mu.Unlock()
	w.server.Update(&next, ch)
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// base sets the resources that every scope has and pushes them.
func (w *world) base(resources ...build.Resource) {
	w.change(mesh.ChangeSet{Config: true}, func(*mesh.Snapshot) { w.table[unitID{part: base}] = resources })
}

// host sets the resources of a host, which becomes a service, and pushes them.
func (w *world) host(name string, parts map[part][]build.Resource) {
	w.change(mesh.ChangeSet{Services: mesh.Set[string]{name: {}}}, func(s *mesh.Snapshot) {
		s.Services[name] = &mesh.Service{Host: name, ExportTo: []string{"*"}}
		for p, resources := range parts {
			w.table[unitID{part: p, host: name}] = resources
		}
	})
}

// drop removes a host.
func (w *world) drop(name string) {
	w.change(mesh.ChangeSet{Services: mesh.Set[string]{name: {}}}, func(s *mesh.Snapshot) {
		delete(s.Services, name)
		for _, p := range []part{clusters, endpoints, virtualHosts} {
			delete(w.table, unitID{part: p, host: name})
		}
	})
}

// endpointsOf sets only the endpoints of a host.
func (w *world) endpointsOf(name string, resources ...build.Resource) {
	w.change(mesh.ChangeSet{Endpoints: mesh.Set[string]{name: {}}}, func(*mesh.Snapshot) {
		w.table[unitID{part: endpoints, host: name}] = resources
	})
}

// conn is a connection to the server.
func (w *world) conn() *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///world", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return w.listen.Dial() }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// counter reads one metric.
func (w *world) counter(vec *prometheus.CounterVec, label string) int {
	return int(testutil.ToFloat64(vec.WithLabelValues(label)))
}

// The resources of the tests: a mark makes contents differ.

func clusterOf(name, mark string, ids ...string) build.Resource {
	return build.Resource{TypeURL: build.TypeCluster, Name: name, IDs: ids, Origins: []mesh.Ref{{Kind: "Service", Key: mesh.Key{Name: name}}}, Message: &clusterv3.Cluster{
		Name: name, AltStatName: mark, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
	}}
}

func endpointsWith(name, mark string, ids ...string) build.Resource {
	return build.Resource{TypeURL: build.TypeEndpoint, Name: name, IDs: ids, Message: &endpointv3.ClusterLoadAssignment{
		ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{Locality: &corev3.Locality{Zone: mark}}},
	}}
}

func listenerOf(name, mark string) build.Resource {
	return build.Resource{TypeURL: build.TypeListener, Name: name, Message: &listenerv3.Listener{Name: name, StatPrefix: mark}}
}

func extensionOf(name, mark string) build.Resource {
	return build.Resource{TypeURL: build.TypeExtension, Name: name, Message: &corev3.TypedExtensionConfig{Name: mark}}
}

func routeOf(name string, pulls bool, hosts ...string) build.Resource {
	m := &routev3.RouteConfiguration{Name: name, ValidateClusters: wrapperspb.Bool(false)}
	if pulls {
		m.Vhds = &routev3.Vhds{}
	}
	for _, h := range hosts {
		m.VirtualHosts = append(m.VirtualHosts, &routev3.VirtualHost{Name: h})
	}
	return build.Resource{TypeURL: build.TypeRoute, Name: name, Message: m}
}

func virtualHostOf(name, mark string) build.Resource {
	return build.Resource{TypeURL: build.TypeVirtualHost, Name: name, Message: &routev3.VirtualHost{Name: name, Domains: []string{mark}}}
}
