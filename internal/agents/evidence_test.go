package agents_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// TestWhetherThePodItselfSaidItIsKept, in the store and of who is connected.
func TestWhetherThePodItselfSaidItIsKept(t *testing.T) {
	for pod, want := range map[string]bool{"web-1": true, "": false} {
		store := &shelf{}
		c := config(store)
		stream := connect(t, runFor(t, c, web(pod)))
		stream.Send(say("shop/web-1", 1))
		if _, err := recv(stream); err != nil {
			t.Fatal(err)
		}
		agent, _, _ := c.Registry.Agent("shop/web-1")
		if store.reports[0].Bound != want || agent.Bound != want {
			t.Errorf("bound to %q: %t in the store, %t of the agent", pod, store.reports[0].Bound, agent.Bound)
		}
	}
}

// TestSightingsOfWhoLostItsPodAreLeftOut: its right is asked for with every message.
func TestSightingsOfWhoLostItsPodAreLeftOut(t *testing.T) {
	store := &shelf{}
	c := config(store)
	uids := make(chan string, 3)
	for _, uid := range []string{"old", "new", "old"} {
		uids <- uid
	}
	c.Nodes = successor{uids}
	stream := connect(t, run(t, c))
	sightings := &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Sightings{Sightings: &ensignv1.Sightings{Sightings: []*ensignv1.Sighting{{}}}}}
	for _, message := range []*ensignv1.ConnectRequest{say("shop/web-1", 1), sightings, say("shop/web-1", 2)} {
		stream.Send(message)
	}
	for range 2 {
		if _, err := recv(stream); err != nil {
			t.Fatal(err)
		}
	}
	if len(store.reports) != 2 || len(store.sightings) != 0 {
		t.Errorf("%d reports and %d sightings are kept", len(store.reports), len(store.sightings))
	}
}

// TestARefusedReportIsLogged with its reason: the agent's own log is far away.
func TestARefusedReportIsLogged(t *testing.T) {
	var log bytes.Buffer
	c := config(&shelf{})
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	stream := connect(t, run(t, c))
	stream.Send(say("stock/web-1", 1))
	if _, err := recv(stream); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
	if !strings.Contains(log.String(), "report refused") || !strings.Contains(log.String(), "not your pod") {
		t.Errorf("the log says %q", log.String())
	}
}
