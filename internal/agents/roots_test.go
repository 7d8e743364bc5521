package agents_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// keyring is what is to be trusted, and changes.
type keyring struct {
	mu      sync.Mutex
	trust   *ensignv1.Trust
	changed chan struct{}
}

func (k *keyring) Trust() (*ensignv1.Trust, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trust, k.changed
}

func (k *keyring) change(sequence uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.changed)
	k.trust, k.changed = &ensignv1.Trust{Sequence: sequence}, make(chan struct{})
}

// TestWhatToTrustIsToldWheneverItChanges: one agent hears each change; one that stopped
// reading hears the newest only, and delays nobody.
func TestWhatToTrustIsToldWheneverItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		roots, c := &keyring{trust: &ensignv1.Trust{Sequence: 1}, changed: make(chan struct{})}, config(&shelf{})
		c.Roots = roots
		service := agents.NewService(c)
		slow, quick := attach(ctx, service, "shop/slow"), attach(ctx, service, "shop/quick")
		for range 3 {
			<-quick.heard
		}
		const changes = 100
		for sequence := uint64(2); sequence <= changes; sequence++ {
			roots.change(sequence)
			if trust := (<-quick.heard).GetTrust(); trust.GetSequence() != sequence {
				t.Fatalf("the quick one hears %v, want %d", trust, sequence)
			}
		}
		var told int
		for newest := uint64(0); newest != changes; {
			if trust := (<-slow.heard).GetTrust(); trust != nil {
				told, newest = told+1, trust.Sequence
			}
		}
		if told > 3 {
			t.Errorf("the slow one was told %d times", told)
		}
		stop()
		synctest.Wait()
	})
}

func TestAnAgentIsAskedToRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c := config(&shelf{})
		agent := attach(ctx, agents.NewService(c), "shop/web-1")
		for range 3 {
			<-agent.heard
		}
		if err := c.Registry.Renew(ctx, "shop/web-1"); err != nil {
			t.Fatal(err)
		}
		if asked := <-agent.heard; asked.GetRenew() == nil {
			t.Errorf("it hears %v", asked)
		}
		message := say("shop/web-1", 2)
		message.GetReport().Acknowledged = &ensignv1.SecretState{Serial: "2f"}
		message.GetReport().RenewalError = "e"
		agent.said <- message
		<-agent.heard
		if a, ok, _ := c.Registry.Agent("shop/web-1"); !ok || a.AckedSerial != "2f" || a.RenewalError != "e" || a.PodUID != "u-web-1" {
			t.Errorf("%+v, %v", a, ok)
		}
		if err := c.Registry.Renew(ctx, "shop/web-2"); !errors.Is(err, agents.ErrNotConnected) {
			t.Errorf("an agent that is away: %v", err)
		}
		stop()
		synctest.Wait()
	})
}

// successor is a mesh in which a pod of the same name takes the place of another.
type successor struct{ uids chan string }

func (s successor) Pod(context.Context, identity.Caller, string) (agents.Pod, error) {
	return agents.Pod{Namespace: "shop", Name: "web-1", UID: <-s.uids}, nil
}

func TestAStreamDoesNotSpeakForTheNextPodOfItsName(t *testing.T) {
	store := &shelf{}
	c := config(store)
	uids := make(chan string, 2)
	uids <- "old"
	uids <- "new"
	c.Nodes = successor{uids}
	stream := connect(t, run(t, c))
	stream.Send(say("shop/web-1", 1))
	stream.Send(say("shop/web-1", 2))
	var err error
	for err == nil {
		_, err = recv(stream)
	}
	if status.Code(err) != codes.PermissionDenied || len(store.reports) != 1 || store.reports[0].PodUID != "old" {
		t.Errorf("%v, stored %+v", err, store.reports)
	}
}
