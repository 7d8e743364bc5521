package agents_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// shelf is a store that can fail.
type shelf struct {
	mu        sync.Mutex
	reports   []report.Report
	sightings []report.Sighting
	err       error
}

func (s *shelf) PutSightings(_ context.Context, met []report.Sighting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.sightings = append(s.sightings, met...)
	return nil
}

// nobody is cut off.
type nobody struct{}

var none = &ensignv1.CutOff{}

func (nobody) For(string) (*ensignv1.CutOff, <-chan struct{}) { return none, nil }

// Trust is that of a mesh that never changes its roots.
func (nobody) Trust() (*ensignv1.Trust, <-chan struct{}) { return one, nil }

var one = &ensignv1.Trust{Sequence: 1}

// blank is a ledger without entries.
type blank struct{}

func (blank) Checkpoint() (string, string, uint64)                    { return "", "", 0 }
func (blank) Proof(context.Context, uint64, uint64) ([][]byte, error) { return nil, nil }

func (s *shelf) Put(_ context.Context, r report.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.reports = append(s.reports, r)
	return nil
}

// pods lets every caller speak for the pods of its namespace by their names.
type pods struct{}

func (pods) Pod(_ context.Context, caller identity.Caller, nodeID string) (agents.Pod, error) {
	namespace, pod, ok := strings.Cut(nodeID, "/")
	if !ok || namespace != caller.Account.Namespace {
		return agents.Pod{}, errors.New("not your pod")
	}
	return agents.Pod{Namespace: namespace, Name: pod, UID: "u-" + pod}, nil
}

// config is a service that stores on the shelf.
func config(store *shelf) agents.Config {
	return agents.Config{Registry: agents.NewRegistry(), Reports: store, Nodes: pods{}, Orders: nobody{}, Roots: nobody{}, Ledger: blank{}, Logger: slog.New(slog.DiscardHandler)}
}

func serve(t *testing.T, store *shelf) (*agents.Registry, ensignv1.AgentServiceClient) {
	t.Helper()
	c := config(store)
	return c.Registry, run(t, c)
}

// web is a caller of the account shop/web, bound to a pod, or to none if that is "".
func web(pod string) identity.Caller {
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	return identity.Caller{Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "web"}, Pod: pod}
}

// run runs the service for callers of shop/web.
func run(t testing.TB, c agents.Config) ensignv1.AgentServiceClient {
	t.Helper()
	return runFor(t, c, web(""))
}

// runFor runs the service behind an interceptor that names the caller.
func runFor(t testing.TB, c agents.Config, caller identity.Caller) ensignv1.AgentServiceClient {
	t.Helper()
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		return handle(srv, named{stream, identity.WithCaller(stream.Context(), caller)})
	}))
	ensignv1.RegisterAgentServiceServer(server, agents.NewService(c))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return ensignv1.NewAgentServiceClient(conn)
}

type named struct {
	grpc.ServerStream
	ctx context.Context
}

func (n named) Context() context.Context { return n.ctx }

func connect(t *testing.T, client ensignv1.AgentServiceClient) ensignv1.AgentService_ConnectClient {
	t.Helper()
	stream, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// recv is the next message that says neither who is cut off nor what to trust.
func recv(stream ensignv1.AgentService_ConnectClient) (*ensignv1.ConnectResponse, error) {
	for {
		if message, err := stream.Recv(); err != nil || message.GetCutOff() == nil && message.GetTrust() == nil {
			return message, err
		}
	}
}

func say(node string, sequence uint64) *ensignv1.ConnectRequest {
	return &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: &ensignv1.Report{NodeId: node, Sequence: sequence, TrustSequence: 40 + sequence, EnvoyVersion: "1.40.0"}}}
}

func TestAReportIsAnsweredWhenItIsStored(t *testing.T) {
	store := &shelf{}
	_, client := serve(t, store)
	stream := connect(t, client)
	for sequence := uint64(1); sequence <= 3; sequence++ {
		stream.Send(say("shop/web-1", sequence))
		answer, err := recv(stream)
		if err != nil || answer.GetStored().GetSequence() != sequence {
			t.Fatalf("%v, %v; want %d", answer, err, sequence)
		}
	}
	got := store.reports[2]
	if len(store.reports) != 3 || got.Pod != "web-1" || got.SPIFFEID != "spiffe://cluster.local/ns/shop/sa/web" || got.Sequence != 3 || got.TrustSequence != 43 {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNotStoredIsNotAnswered(t *testing.T) {
	_, client := serve(t, &shelf{err: errors.New("disk full")})
	stream := connect(t, client)
	stream.Send(say("shop/web-1", 1))
	answer, err := recv(stream)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, %v; want Unavailable", answer, err)
	}
}

func TestWhoMayReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		first *ensignv1.ConnectRequest
		then  *ensignv1.ConnectRequest
		want  codes.Code
	}{
		{"another namespace", say("stock/web-1", 1), nil, codes.PermissionDenied},
		{"another pod later", say("shop/web-1", 1), say("shop/web-2", 2), codes.PermissionDenied},
		{"nothing in it", &ensignv1.ConnectRequest{}, nil, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := &shelf{}
			_, client := serve(t, store)
			stream := connect(t, client)
			stream.Send(c.first)
			if c.then != nil {
				stream.Send(c.then)
			}
			var err error
			for err == nil {
				_, err = recv(stream)
			}
			if status.Code(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
			for _, r := range store.reports {
				if r.Namespace+"/"+r.Pod != "shop/web-1" {
					t.Errorf("a refused report of %s/%s was stored", r.Namespace, r.Pod)
				}
			}
		})
	}
}

// answerer is an agent that answers each query with these parts.
func answerer(t *testing.T, stream ensignv1.AgentService_ConnectClient, parts ...*ensignv1.EnvoyAnswer) {
	t.Helper()
	stream.Send(say("shop/web-1", 1))
	if _, err := recv(stream); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			message, err := recv(stream)
			if err != nil {
				return
			}
			for _, part := range parts {
				part.Id = message.GetQuery().GetId()
				stream.Send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Answer{Answer: part}})
			}
		}
	}()
}

func TestAPageComesInChunks(t *testing.T) {
	registry, client := serve(t, &shelf{})
	answerer(t, connect(t, client), &ensignv1.EnvoyAnswer{Chunk: []byte("hello ")}, &ensignv1.EnvoyAnswer{Chunk: []byte("world"), Last: true})
	for range 3 {
		var page bytes.Buffer
		if err := registry.Fetch(t.Context(), "shop/web-1", ensignv1.EnvoyPage_ENVOY_PAGE_CERTS, &page); err != nil || page.String() != "hello world" {
			t.Fatalf("%q, %v", page.String(), err)
		}
	}
}

func TestAPageThatDoesNotComeIsAnError(t *testing.T) {
	registry, client := serve(t, &shelf{})
	answerer(t, connect(t, client), &ensignv1.EnvoyAnswer{Error: "Envoy is away"})
	fetch := func(ctx context.Context, name string) error {
		return registry.Fetch(ctx, name, ensignv1.EnvoyPage_ENVOY_PAGE_CERTS, &bytes.Buffer{})
	}
	if err := fetch(t.Context(), "shop/web-1"); err == nil || !strings.Contains(err.Error(), "Envoy is away") {
		t.Errorf("%v", err)
	}
	if err := fetch(t.Context(), "shop/ghost"); err == nil || !strings.Contains(err.Error(), "no agent of shop/ghost") {
		t.Errorf("%v", err)
	}
	silent, quiet := serve(t, &shelf{})
	answerer(t, connect(t, quiet))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := silent.Fetch(ctx, "shop/web-1", ensignv1.EnvoyPage_ENVOY_PAGE_CERTS, &bytes.Buffer{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAnAgentThatLeavesIsForgotten(t *testing.T) {
	registry, client := serve(t, &shelf{})
	stream := connect(t, client)
	answerer(t, stream)
	stream.CloseSend()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := registry.Fetch(t.Context(), "shop/web-1", ensignv1.EnvoyPage_ENVOY_PAGE_CERTS, &bytes.Buffer{})
		if err != nil && strings.Contains(err.Error(), "no agent") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v", err)
		}
	}
}

// deaf is a stream to an agent that does not read: a send ends with the
// connection only, as gRPC's do.
type deaf struct {
	ensignv1.AgentService_ConnectServer
	ctx     context.Context
	reports chan *ensignv1.ConnectRequest
	closed  chan struct{}
}

func (d deaf) Context() context.Context { return d.ctx }

func (d deaf) Recv() (*ensignv1.ConnectRequest, error) {
	select {
	case report := <-d.reports:
		return report, nil
	case <-d.closed:
		return nil, io.EOF
	}
}

func (d deaf) Send(*ensignv1.ConnectResponse) error {
	<-d.closed
	return io.EOF
}

func TestAStreamThatIsNotReadEndsWithItsProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := identity.Caller{Account: identity.ServiceAccount{TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), Namespace: "shop", Name: "web"}}
		ctx, cancel := context.WithTimeout(identity.WithCaller(t.Context(), caller), time.Minute)
		defer cancel()
		stream := deaf{ctx: ctx, reports: make(chan *ensignv1.ConnectRequest, 1), closed: make(chan struct{})}
		stream.reports <- say("shop/web-1", 1)
		begun, ended := time.Now(), make(chan error, 1)
		service := agents.NewService(config(&shelf{}))
		go func() { ended <- service.Connect(stream) }()
		select {
		case err := <-ended:
			if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
		case <-time.After(time.Hour):
			t.Error("the stream outlives its proof")
		}
		close(stream.closed)
		synctest.Wait()
	})
}
