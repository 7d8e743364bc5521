package bench

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// limit is how many bytes a stream may get for one change.
const limit = 5 << 10

// BenchmarkFirstConfiguration is 200 Envoys that come at once to a control
// plane that has built nothing yet.
func BenchmarkFirstConfiguration(b *testing.B) {
	for b.Loop() {
		_, snap := newWorld(b)
		c := serve(b, snap)
		f := startFleet(b, c)
		f.order(b, order{})
		m := c.start(b)
		m.stop(b, c, f.order(b, order{Connect: true, Fresh: true, Settle: true, AtLeast: 5 * streams}))
		f.end()
		c.end()
	}
}

// BenchmarkChange is what happens afterwards; its parts share one mesh and one fleet.
func BenchmarkChange(b *testing.B) {
	w, snap := newWorld(b)
	c := serve(b, snap)
	b.Cleanup(c.end)
	f := startFleet(b, c)
	b.Cleanup(f.end)
	f.order(b, order{Connect: true, Fresh: true, Settle: true, AtLeast: 5 * streams})

	b.Run("fresh-streams", func(b *testing.B) {
		for b.Loop() {
			f.order(b, order{Disconnect: true})
			m := c.start(b)
			m.stop(b, c, f.order(b, order{Connect: true, Fresh: true, Settle: true, AtLeast: 5 * streams}))
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
				if bytes := m.stop(b, c, f.order(b, order{Settle: true, AtLeast: streams})); bytes > limit {
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
	c.synced(b)
	used, encodes := cpu(b)-m.cpu, c.encodes(b)-m.encodes
	bytes := float64(r.Bytes) / streams
	b.ReportMetric(float64(used.Microseconds())/1000/streams, "cpu-ms/stream")
	b.ReportMetric(bytes/1024, "KiB/stream")
	b.ReportMetric(float64(r.LastAck.Sub(m.at).Microseconds())/1000, "ms-to-last-ack")
	b.ReportMetric(encodes, "encodes")
	b.ReportMetric(float64(r.Resources)/streams, "resources/stream")
	b.ReportMetric(0, "ns/op") // holds the wait for silence
	return bytes
}

// synced waits until every stream has acknowledged everything.
func (c *control) synced(b *testing.B) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		late := c.late()
		if late == "" {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("not all is acknowledged: %s", late)
		}
	}
}

// late names a stream that has not acknowledged everything; "" if all have.
func (c *control) late() string {
	all := c.xds.Proxies()
	if len(all) != streams {
		return fmt.Sprintf("%d streams", len(all))
	}
	for _, p := range all {
		for _, t := range p.Types {
			if t.State != xds.Synced {
				return fmt.Sprintf("%s is %s with %s: %+v", p.Name, t.State, t.TypeURL, t.Rejections)
			}
		}
	}
	return ""
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
