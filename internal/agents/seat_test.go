package agents_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// TestAnEarlierStreamIsNotHeardAnyMore: what it says was on its way when the agent moved
// to another, and may be older than what that said. It takes nobody's place.
func TestAnEarlierStreamIsNotHeardAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := &shelf{}
		c := config(store)
		service := agents.NewService(c)
		earlier, ended := attachEnding(ctx, service, "shop/web-1")
		for range 3 {
			<-earlier.heard
		}
		later := attach(ctx, service, "shop/web-1")
		for range 3 {
			<-later.heard
		}
		earlier.said <- say("shop/web-1", 7)
		if err := <-ended; status.Code(err) != codes.Aborted {
			t.Errorf("it ends with %v", err)
		}
		synctest.Wait()
		if n := len(store.reports); n != 2 {
			t.Errorf("%d reports are kept", n)
		}
		if _, connected, _ := c.Registry.Agent("shop/web-1"); !connected {
			t.Error("the later stream is not known any more")
		}
		message := say("shop/web-1", 8)
		message.GetReport().Acknowledged = &ensignv1.SecretState{Serial: "2f"}
		later.said <- message
		<-later.heard
		if a, _, _ := c.Registry.Agent("shop/web-1"); a.AckedSerial != "2f" {
			t.Errorf("%+v", a)
		}
		stop()
		synctest.Wait()
		if list, _ := c.Registry.Agents(); len(list) != 0 {
			t.Errorf("still connected: %v", list)
		}
	})
}

// glance is a store that looks who is connected while it stores.
type glance struct {
	shelf
	registry  *agents.Registry
	connected int
}

func (g *glance) Put(ctx context.Context, r report.Report) error {
	list, _ := g.registry.Agents()
	all, _ := g.registry.Connected()
	_, one, _ := g.registry.Agent("shop/web-1")
	if g.connected = len(list) + len(all); one {
		g.connected++
	}
	return g.shelf.Put(ctx, r)
}

// TestWhoseReportIsNotStoredIsNotThereYet, although its stream is open.
func TestWhoseReportIsNotStoredIsNotThereYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c := config(nil)
		store := &glance{registry: c.Registry}
		c.Reports = store
		agent := attach(ctx, agents.NewService(c), "shop/web-1")
		for range 3 {
			<-agent.heard
		}
		if store.connected != 0 || len(store.reports) != 1 {
			t.Errorf("%d were connected before a word was stored; %d words are", store.connected, len(store.reports))
		}
		stop()
		synctest.Wait()
	})
}
