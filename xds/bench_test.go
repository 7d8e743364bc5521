package xds

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// BenchmarkDeny is the time from a change of who is cut off until the last of
// 1,000 streams has acknowledged it, with as many certificates denied.
func BenchmarkDeny(b *testing.B) {
	for _, digests := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("digests=%d", digests), func(b *testing.B) { benchmarkDeny(b, 1000, digests) })
	}
}

func benchmarkDeny(b *testing.B, streams, digests int) {
	m := newRealMesh(b)
	acked := make(chan struct{}, streams)
	for i := range streams {
		e := m.connect([]string{"shop", "bank"}[i%2], "web", "web-1")
		e.ask(extension, build.RevokedHTTP, build.RevokedTCP)
		go func() {
			for r := range e.responses {
				e.ack(r)
				acked <- struct{}{}
			}
		}()
	}
	all := func() {
		for range streams {
			<-acked
		}
		for slices.ContainsFunc(m.server.Proxies(), func(p ProxyStatus) bool { return !p.DenyAcked }) {
			time.Sleep(time.Millisecond)
		}
	}
	all()
	i := 0
	for b.Loop() {
		var d mesh.Denied
		for n := range digests {
			d.Digests = append(d.Digests, fmt.Sprintf("%064x", i<<20+n))
		}
		m.deny(d)
		all()
		i++
	}
}
