package connections

import "time"

// observe takes records into the table, in their order.
func (t *Table) observe(records []record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.heard && t.pid == 0 {
		t.lack("of an Envoy that this agent did not start")
	}
	t.heard = true
	for _, r := range records {
		result := t.take(r, now)
		t.metrics.records[result].Inc()
		if reason := lacks[result]; reason != "" {
			t.lack(reason)
		}
	}
	if len(t.cutting) > 0 || len(t.state.Error) > 0 || !t.gap.IsZero() {
		t.stir()
	}
}

// Results of a record.
const (
	recordNew       = "new"
	recordKnown     = "known"
	recordLate      = "late" // its connection is over
	recordPlain     = "plain"
	recordMalformed = "malformed"
	recordOver      = "over_limit"
	recordUnread    = "unreadable"
)

// lacks say why the table may miss the connection that the record was of.
var lacks = map[string]string{
	recordMalformed: "of which Envoy's log speaks in another form",
	recordOver:      "above the number that the table holds",
	recordUnread:    "that the kernel did not tell of",
}

// take says what became of one record.
func (t *Table) take(r record, now time.Time) string {
	known := t.connections[r.pair]
	switch {
	case known != nil && known.number > r.number:
		return recordLate // a newer connection has the addresses
	case r.ended && known != nil && known.number == r.number:
		t.remove(known)
		return recordLate
	case r.ended:
		return recordLate
	case known != nil && known.number == r.number && known.peer.name == r.name:
		t.sight(known.peer, now)
		return recordKnown
	case known != nil:
		t.remove(known)
	}
	p, err := t.peerOf(r.name)
	switch {
	case err != nil:
		return recordMalformed
	case p == nil:
		return recordOver
	}
	t.sight(p, now)
	s, ok, err := t.sockets.find(r.pair)
	switch {
	case err != nil:
		return recordUnread
	case !ok || !s.open:
		return recordLate
	case len(t.connections) >= maxConnections && (!p.cut || len(t.cutting) >= maxConnections):
		return recordOver
	}
	c := &connection{pair: r.pair, number: r.number, cookie: s.cookie, since: now, peer: p}
	t.connections[r.pair] = c
	p.connections++
	if p.cut {
		t.cutting[c] = struct{}{}
	}
	return recordNew
}
