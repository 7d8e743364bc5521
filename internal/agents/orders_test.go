package agents_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// board is an order that changes.
type board struct {
	mu      sync.Mutex
	order   *ensignv1.CutOff
	changed chan struct{}
}

func newBoard() *board { return &board{order: &ensignv1.CutOff{}, changed: make(chan struct{})} }

func (b *board) For(string) (*ensignv1.CutOff, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.order, b.changed
}

// write puts up an order; the same revision again is only a call to look.
func (b *board) write(revision uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.order.Revision != revision {
		b.order = &ensignv1.CutOff{Revision: revision}
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// wire is an agent's end of a stream that the test holds: an agent that does not
// read is one whose heard is not received from.
type wire struct {
	ensignv1.AgentService_ConnectServer
	ctx   context.Context
	said  chan *ensignv1.ConnectRequest
	heard chan *ensignv1.ConnectResponse
}

func (w wire) Context() context.Context { return w.ctx }

func (w wire) Recv() (*ensignv1.ConnectRequest, error) {
	select {
	case message := <-w.said:
		return message, nil
	case <-w.ctx.Done():
		return nil, io.EOF
	}
}

func (w wire) Send(message *ensignv1.ConnectResponse) error {
	select {
	case w.heard <- message:
		return nil
	case <-w.ctx.Done():
		return io.EOF
	}
}

// attach connects an agent that has reported for its pod.
func attach(ctx context.Context, service *agents.Service, pod string) wire {
	w, _ := attachEnding(ctx, service, pod)
	return w
}

// attachEnding is attach; the channel answers how the stream ended.
func attachEnding(ctx context.Context, service *agents.Service, pod string) (wire, <-chan error) {
	caller := identity.Caller{Account: identity.ServiceAccount{TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), Namespace: "shop", Name: "web"}}
	w := wire{ctx: identity.WithCaller(ctx, caller), said: make(chan *ensignv1.ConnectRequest, 100), heard: make(chan *ensignv1.ConnectResponse)}
	ended := make(chan error, 1)
	go func() { ended <- service.Connect(w) }()
	w.said <- say(pod, 1)
	return w, ended
}

func TestWhoIsCutOffIsToldFirstAndWheneverItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		orders, c := newBoard(), config(&shelf{})
		c.Orders = orders
		orders.write(3)
		agent := attach(ctx, agents.NewService(c), "shop/web-1")
		if first := <-agent.heard; first.GetCutOff().GetRevision() != 3 {
			t.Errorf("first it hears %v", first)
		}
		if second := <-agent.heard; second.GetTrust().GetSequence() != 1 {
			t.Errorf("then %v", second)
		}
		if third := <-agent.heard; third.GetStored().GetSequence() != 1 {
			t.Errorf("then %v", third)
		}
		orders.write(3)
		synctest.Wait()
		select {
		case message := <-agent.heard:
			t.Errorf("it is told again: %v", message)
		default:
		}
		begun := time.Now()
		orders.write(4)
		if next := <-agent.heard; next.GetCutOff().GetRevision() != 4 || time.Since(begun) != 0 {
			t.Errorf("%v after %v", next, time.Since(begun))
		}
		stop()
		synctest.Wait()
	})
}

// TestASlowAgentHearsTheNewestOnlyAndDelaysNobody: one agent stops reading while
// a thousand acts follow one another; its neighbour hears each at once.
func TestASlowAgentHearsTheNewestOnlyAndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		orders, c := newBoard(), config(&shelf{})
		c.Orders = orders
		service := agents.NewService(c)
		slow, quick := attach(ctx, service, "shop/slow"), attach(ctx, service, "shop/quick")
		for range 3 {
			<-quick.heard
		}
		const acts = 1000
		for revision := range uint64(acts) {
			orders.write(revision + 1)
			if order := (<-quick.heard).GetCutOff(); order.GetRevision() != revision+1 {
				t.Fatalf("the quick one hears %v, want %d", order, revision+1)
			}
		}
		var told int
		for newest := uint64(0); newest != acts; {
			if order := (<-slow.heard).GetCutOff(); order != nil {
				told, newest = told+1, order.Revision
			}
		}
		if told > 3 {
			t.Errorf("the slow one was told %d times", told)
		}
		stop()
		synctest.Wait()
	})
}

func TestWhatAgentsObeyIsKnownWhileTheyAreConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := &shelf{}
		c := config(store)
		agent := attach(ctx, agents.NewService(c), "shop/web-1")
		for range 3 {
			<-agent.heard
		}
		known, changed := c.Registry.Agents()
		if len(known) != 1 || known[0].Obedience != nil {
			t.Errorf("%+v", known)
		}
		message := say("shop/web-1", 2)
		message.GetReport().Obedience = &ensignv1.Obedience{Revision: 7, CrlRevision: 2, Method: ensignv1.CutMethod_CUT_METHOD_PIDFD, Open: 1, Cut: 4, Error: "e"}
		message.GetReport().Ledger = &ensignv1.LedgerSeen{Size: 9, Root: []byte{0xab}, Fork: "f"}
		agent.said <- message
		<-changed
		want := report.Obedience{Revision: 7, CRLRevision: 2, Method: "pidfd", Open: 1, Cut: 4, Error: "e"}
		known, changed = c.Registry.Agents()
		if len(known) != 1 || known[0].Name != "shop/web-1" || known[0].SPIFFEID != "spiffe://cluster.local/ns/shop/sa/web" || *known[0].Obedience != want {
			t.Errorf("%+v", known)
		}
		synctest.Wait()
		if kept := store.reports[1]; *kept.Obedience != want || *kept.Ledger != (report.LedgerSeen{Size: 9, Root: "ab", Fork: "f"}) {
			t.Errorf("stored %+v, %+v", kept.Obedience, kept.Ledger)
		}
		stop()
		<-changed
		if known, _ = c.Registry.Agents(); len(known) != 0 {
			t.Errorf("gone, and still known: %+v", known)
		}
		synctest.Wait()
	})
}

func TestSightingsAreKeptForThePodOfTheStream(t *testing.T) {
	store := &shelf{}
	_, client := serve(t, store)
	met := time.Unix(1_700_000_000, 0).UTC()
	sighting := &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Sightings{Sightings: &ensignv1.Sightings{
		Sightings: []*ensignv1.Sighting{{Fingerprint: "ab", SpiffeId: "spiffe://x/y", Serial: "1f", IssuerSubject: "CN=i", Inbound: true, SeenAt: timestamppb.New(met)}},
	}}}
	early := connect(t, client)
	early.Send(sighting)
	if _, err := recv(early); status.Code(err) != codes.InvalidArgument {
		t.Errorf("sightings of nobody: %v", err)
	}
	stream := connect(t, client)
	for _, message := range []*ensignv1.ConnectRequest{say("shop/web-1", 1), sighting, say("shop/web-1", 2)} {
		stream.Send(message)
	}
	for range 2 {
		if _, err := recv(stream); err != nil {
			t.Fatal(err)
		}
	}
	want := report.Sighting{Namespace: "shop", Pod: "web-1", Fingerprint: "ab", Serial: "1f", SPIFFEID: "spiffe://x/y", IssuerSubject: "CN=i", Inbound: true, SeenAt: met}
	want.NotBefore, want.NotAfter = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
	if len(store.sightings) != 1 || store.sightings[0] != want {
		t.Errorf("%+v", store.sightings)
	}
}

func TestSightingsThatAreNotKeptEndNoStream(t *testing.T) {
	store := &refusing{}
	c := config(&store.shelf)
	c.Reports = store
	stream := connect(t, run(t, c))
	sighting := &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Sightings{Sightings: &ensignv1.Sightings{Sightings: []*ensignv1.Sighting{{}}}}}
	for _, message := range []*ensignv1.ConnectRequest{say("shop/web-1", 1), sighting, say("shop/web-1", 2)} {
		stream.Send(message)
	}
	for range 2 {
		if _, err := recv(stream); err != nil {
			t.Fatal(err)
		}
	}
}

// refusing takes reports and no sightings.
type refusing struct{ shelf }

func (r *refusing) PutSightings(context.Context, []report.Sighting) error { return report.ErrInvalid }
