package connections

import (
	"testing"
	"time"
)

// An agent that is restarted while somebody is in quarantine learns of the live
// connections from Envoy's repeated records, ends the right ones, and does not say
// that the order is carried out before all have been told of.
func TestRestartedAgentCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a period of Envoy's log")
	}
	first := newTable(testConfig(t), nil, nil) // which never runs
	first.sockets = New(testConfig(t)).sockets
	m := startMesh(t, first)
	alice, bob := m.caller(t, aliceID), m.caller(t, bobID)
	cut := []*line{alice.raw(t, "TCP", m.tcp, true), alice.raw(t, "silent TCP", m.silent, false), alice.stream(t, "https://"+m.http, true)}
	kept := bob.inbound(t)
	knows(t, first, len(cut)+len(kept))
	m.stopLog()

	table := running(t)
	m.serveLog(t, table)
	table.SetEnvoy(m.pid, true)
	start := time.Now()
	table.Apply(Orders{Revision: 7, Identities: []string{aliceID}})
	time.Sleep(time.Second)
	if state, _ := table.State(); state.Revision != 0 || state.Error == "" {
		t.Errorf("a table that cannot be complete yet says %+v", state)
	}
	for _, l := range cut {
		<-l.over
		t.Logf("%s ended %s after the restart", l.what, l.at.Sub(start))
	}
	state := obeyed(t, table, 7)
	if since := time.Since(start); since < Period || state.Error != "" {
		t.Errorf("carried out after %s, %+v", since, state)
	}
	mustLive(t, kept)
}
