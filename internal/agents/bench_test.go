package agents_test

import (
	"fmt"
	"sync"
	"testing"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// told is what all agents are told, and can change.
type told struct {
	mu      sync.Mutex
	order   *ensignv1.CutOff
	changed chan struct{}
}

func (t *told) For(string) (*ensignv1.CutOff, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order, t.changed
}

func (t *told) set(order *ensignv1.CutOff) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.order, t.changed = order, make(chan struct{})
}

// BenchmarkCutOff is the time from a change of who is cut off until the last of
// 1,000 agents on 10 connections has said that it obeys, and that is stored.
func BenchmarkCutOff(b *testing.B) {
	const agentCount, connections = 1000, 10
	orders := &told{order: &ensignv1.CutOff{}, changed: make(chan struct{})}
	c := config(&shelf{})
	c.Orders = orders
	client := make([]ensignv1.AgentServiceClient, connections)
	for i := range client {
		client[i] = run(b, c)
	}
	stored := make(chan uint64, agentCount)
	for n := range agentCount {
		stream, err := client[n%connections].Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("shop/web-%d", n)
		go func() {
			for sequence := uint64(1); ; {
				message, err := stream.Recv()
				if err != nil {
					return
				}
				if order := message.GetCutOff(); order != nil {
					report := say(name, sequence)
					report.GetReport().Obedience = &ensignv1.Obedience{Revision: order.Revision, Method: ensignv1.CutMethod_CUT_METHOD_PIDFD}
					if stream.Send(report) != nil {
						return
					}
					sequence++
				} else if message.GetStored() != nil {
					stored <- message.GetStored().Sequence
				}
			}
		}()
		if err := stream.Send(say(name, 0)); err != nil {
			b.Fatal(err)
		}
	}
	wait := func(sequence uint64) {
		for heard := 0; heard < agentCount; {
			if <-stored >= sequence {
				heard++
			}
		}
	}
	wait(1)
	for _, certificates := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("certificates=%d", certificates), func(b *testing.B) {
			for b.Loop() {
				order := &ensignv1.CutOff{Revision: orders.order.Revision + 1}
				for n := range certificates {
					order.Certificates = append(order.Certificates, &ensignv1.CutCertificate{
						Fingerprint: fmt.Sprintf("%064x", n), Serial: fmt.Sprintf("%032x", n), SpiffeId: "spiffe://cluster.local/ns/shop/sa/web",
						IssuerSerial: fmt.Sprintf("%032x", n), IssuerSubject: "CN=Ensign issuer,O=cluster.local",
					})
				}
				orders.set(order)
				wait(order.Revision + 1)
			}
		})
	}
}
