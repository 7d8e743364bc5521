package connections

import (
	"testing"
	"time"
)

// Of two clients of one Envoy only that whose certificate is cut off loses its
// connections, whatever it speaks, and whichever way they are ended.
func TestCutsTheClientAndNoNeighbour(t *testing.T) {
	for _, method := range []Method{MethodPIDFD, MethodDestroy} {
		t.Run(string(method), func(t *testing.T) {
			table := running(t)
			m := startMesh(t, table)
			envoy := m.pid
			if method == MethodDestroy {
				envoy = 0 // as where its process cannot be seen
			}
			table.SetEnvoy(envoy, false)
			alice, bob := m.caller(t, aliceID), m.caller(t, bobID)
			cut, kept := alice.inbound(t), bob.inbound(t)
			knows(t, table, len(cut)+len(kept))
			time.Sleep(settle)
			start := time.Now()
			table.Apply(Orders{Revision: 1, Certificates: []string{fingerprint(alice.leaf)}, SilentPorts: []uint16{1}})
			mustEnd(t, start, cut)
			mustLive(t, kept)
			state := obeyed(t, table, 1)
			t.Logf("obeyed after %s", time.Since(start))
			if state.Method != method || state.Cut != uint64(len(cut)) || (method == MethodPIDFD && state.Error != "") {
				t.Errorf("state %+v, want %s and %d ended", state, method, len(cut))
			}
			// What comes later ends as soon as it is told of.
			start = time.Now()
			mustEnd(t, start, []*line{alice.raw(t, "new TCP", m.tcp, true), alice.stream(t, "https://"+m.http, true)})
			mustLive(t, kept)
			// Released, it may stay.
			table.Apply(Orders{Revision: 2})
			back := alice.inbound(t)
			knows(t, table, len(kept)+len(back))
			obeyed(t, table, 2)
			mustLive(t, append(back, kept...))
		})
	}
}
