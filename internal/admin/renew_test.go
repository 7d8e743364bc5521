package admin

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// lone is one connected agent, shop/web-1.
type lone struct {
	Agents
	mu      sync.Mutex
	agent   agents.Agent
	away    bool
	asked   int
	changed chan struct{}
}

func (l *lone) Agent(name string) (agents.Agent, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agent, name == "shop/web-1" && !l.away, l.changed
}

func (l *lone) Renew(context.Context, string) error {
	l.asked++
	return nil
}

func (l *lone) say(a agents.Agent, away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agent, l.away = a, away
	close(l.changed)
	l.changed = make(chan struct{})
}

// diary is a ledger that takes admin acts.
type diary struct {
	Ledger
	entries []ca.Entry
}

func (d *diary) Append(_ context.Context, e ca.Entry) (uint64, error) {
	d.entries = append(d.entries, e)
	return 0, nil
}

func TestAProxyIsRenewedWhenItsEnvoyHasAcknowledged(t *testing.T) {
	acked := time.Unix(9, 0)
	for name, c := range map[string]struct {
		then []agents.Agent
		want codes.Code
	}{
		"acknowledged":        {[]agents.Agent{{AckedSerial: "1f"}, {}, {AckedSerial: "2f", AckedAt: acked}}, codes.OK},
		"it can not":          {[]agents.Agent{{AckedSerial: "1f", RenewalError: "an older one"}, {AckedSerial: "1f", RenewalError: "refused"}}, codes.Unavailable},
		"nothing comes of it": {nil, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lone{agent: agents.Agent{AckedSerial: "1f", RenewalError: "an older one"}, changed: make(chan struct{})}
				book := &diary{}
				s, ctx := office(t.Context(), newCarousel())
				s.config.Agents, s.config.Ledger = l, book
				ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
				defer cancel()
				go func() {
					for _, a := range c.then {
						time.Sleep(time.Second)
						l.say(a, a == (agents.Agent{}))
					}
				}()
				answer, err := s.RenewProxy(ctx, &ensignv1.RenewProxyRequest{Name: "shop/web-1"})
				if status.Code(err) != c.want {
					t.Fatalf("%v, %v", answer, err)
				}
				if err == nil && (answer.Before != "1f" || answer.Serial != "2f" || !answer.AcknowledgedAt.AsTime().Equal(acked)) {
					t.Errorf("%v", answer)
				}
				if l.asked != 1 || len(book.entries) != 1 || book.entries[0].Actor != "uid:7" || book.entries[0].Verb != "renew" || book.entries[0].Object != "proxy shop/web-1" {
					t.Errorf("asked %d times, recorded %+v", l.asked, book.entries)
				}
			})
		})
	}
}

func TestAProxyThatIsAwayIsNotRenewed(t *testing.T) {
	book := &diary{}
	s, ctx := office(t.Context(), newCarousel())
	s.config.Agents, s.config.Ledger = &lone{}, book
	if _, err := s.RenewProxy(ctx, &ensignv1.RenewProxyRequest{Name: "shop/web-2"}); status.Code(err) != codes.NotFound || len(book.entries) != 0 {
		t.Errorf("%v, recorded %v", err, book.entries)
	}
}
