package bench

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// limit is how many bytes a stream may get for one change.
const limit = 5 << 10

// BenchmarkFleet is the whole story; its parts share one mesh and one fleet.
func BenchmarkFleet(b *testing.B) {
	w, snap := newWorld(b)
	c := serve(b, snap)
	f := startFleet(b, c)
	f.order(b, order{})

	b.Run("first-configuration", func(b *testing.B) {
		for first := true; b.Loop(); first = false {
			if !first {
				f.order(b, order{Disconnect: true})
			}
			m := c.start(b)
			m.stop(b, c, f.order(b, order{Connect: true, Fresh: true, Settle: true}))
		}
	})
	for _, part := range []struct {
		name   string
		change func() []mesh.Object
	}{
		{"one-endpoint", w.oneEndpoint}, {"one-service", w.oneService}, {"one-route", w.oneRoute}, {"one-policy", w.onePolicy},
	} {
		b.Run(part.name, func(b *testing.B) {
			for b.Loop() {
				objects := part.change()
				m := c.start(b)
				snap, changes, problems := w.builder.Apply(mesh.Update{Upserts: objects})
				if len(problems) > 0 {
					b.Fatal(problems[0])
				}
				c.xds.Update(snap, changes)
				if bytes := m.stop(b, c, f.order(b, order{Settle: true})); bytes > limit {
					b.Errorf("%.0f bytes a stream, at most %d are wanted", bytes, limit)
				}
			}
		})
	}
	b.Run("reconnect", func(b *testing.B) {
		for b.Loop() {
			f.order(b, order{Disconnect: true})
			m := c.start(b)
			r := f.order(b, order{Connect: true, Settle: true})
			m.stop(b, c, r)
			if r.Resources != 0 {
				b.Errorf("%d resources were sent again", r.Resources)
			}
		}
	})
}

// measurement is one repetition.
type measurement struct {
	at      time.Time
	cpu     time.Duration
	encodes float64
}

func (c *control) start(b *testing.B) measurement {
	b.Helper()
	runtime.GC()
	return measurement{time.Now(), cpu(b), c.encodes(b)}
}

// stop reports the repetition (the last one counts), and answers the bytes a stream.
func (m measurement) stop(b *testing.B, c *control, r report) float64 {
	b.Helper()
	used, encodes := cpu(b)-m.cpu, c.encodes(b)-m.encodes
	for _, p := range c.xds.Proxies() {
		for _, t := range p.Types {
			if t.State != xds.Synced {
				b.Fatalf("%s is %s with %s: %+v", p.Name, t.State, t.TypeURL, t.Rejections)
			}
		}
	}
	bytes := float64(r.Bytes) / streams
	b.ReportMetric(float64(used.Microseconds())/1000/streams, "cpu-ms/stream")
	b.ReportMetric(bytes/1024, "KiB/stream")
	b.ReportMetric(float64(r.LastAck.Sub(m.at).Microseconds())/1000, "ms-to-last-ack")
	b.ReportMetric(encodes, "encodes")
	b.ReportMetric(float64(r.Resources)/streams, "resources/stream")
	b.ReportMetric(0, "ns/op") // holds the wait for silence
	return bytes
}

// cpu is what this process has used, user and system.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// encodes is how many resources were encoded.
func (c *control) encodes(b *testing.B) float64 {
	families, err := c.reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	var n float64
	for _, f := range families {
		if f.GetName() == "ensign_xds_encodes_total" {
			for _, m := range f.Metric {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
