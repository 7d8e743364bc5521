package connections

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkCut is the time from the order to the end that the peer sees, of a
// connection that is known, and from the client's first byte when the order came
// first. Envoy is real and has a hundred connections of others.
func BenchmarkCut(b *testing.B) {
	table := New(Config{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	go table.Run(b.Context())
	m := startMesh(b, table)
	table.SetEnvoy(m.pid, false)
	alice, bob := m.caller(b, aliceID), m.caller(b, bobID)
	for range 100 {
		bob.raw(b, "TCP", m.tcp, true)
	}
	knows(b, table, 100)
	measure := func(b *testing.B, once func() time.Duration) {
		var took []time.Duration
		for range b.N {
			took = append(took, once())
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
	}
	b.Run("known", func(b *testing.B) {
		measure(b, func() time.Duration {
			table.Apply(Orders{})
			l := alice.raw(b, "TCP", m.tcp, true)
			knows(b, table, 101)
			time.Sleep(settle)
			start := time.Now()
			table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
			<-l.over
			knows(b, table, 100)
			return l.at.Sub(start)
		})
	})
	b.Run("later", func(b *testing.B) {
		measure(b, func() time.Duration {
			start := time.Now()
			l := alice.raw(b, "TCP", m.tcp, true)
			<-l.over
			return l.at.Sub(start)
		})
	})
}
