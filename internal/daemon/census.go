package daemon

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

// census is every live SVID, and which root it leads to. It reads the ledger once, and
// from then on only what is new there: a rotation asks many times a second.
type census struct {
	ledger censusLedger
	// rootOf is the fingerprint of the root that an issuer leads to, by its parent.
	rootOf func(parentSubject, parentSerial string) string

	mu   sync.Mutex
	read bool
	// next is the first entry that was not read yet.
	next    uint64
	svids   map[string]*holding // by serial
	issuers map[string]parent   // of issuers, by serial
	pods    bindings
	// asked is when it was asked last, by the wall clock; pruned when it was pruned.
	asked, pruned time.Time
}

// censusLedger is what a census asks; [*ledger.Ledger] is one.
type censusLedger interface {
	Checkpoint() (note, verifierKey string, size uint64)
	LiveSVIDs(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	LiveIssuers(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	Read(ctx context.Context, from, limit uint64) iter.Seq2[ledger.Record, error]
}

// holding is one SVID as far as a gate asks.
type holding struct {
	index uint64
	// proof is the serial that it was renewed from, "" if a token proved it.
	serial, proof, issuer string
	id                    string
	// pod is empty if the SVID was bound to no pod.
	pod                podName
	uid                string
	issuedAt, notAfter time.Time
}

// parent is the certificate that signed an issuer.
type parent struct{ subject, serial string }

// bindings are the bearers that SVIDs were bound to, cut off or not, and when the last
// SVID of each ends.
type bindings map[bearer]time.Time

// hold says whether a bearer has a live SVID that was bound to its pod.
func (b bindings) hold(one bearer, now time.Time) bool {
	end, ok := b[one]
	return ok && !ended(end, now)
}

// pruneEvery is how often what has ended is dropped.
const pruneEvery = time.Minute

// catchUp reads what the ledger holds by now; mu is held. After an error the next call
// goes on where this one stood. When the clock was set back, what it had dropped may
// live again: all is read anew.
func (c *census) catchUp(ctx context.Context, now time.Time) error {
	wall := now.Round(0)
	c.read = c.read && !wall.Before(c.asked)
	c.asked = wall
	if !c.read {
		return c.begin(ctx, now)
	}
	if _, _, size := c.ledger.Checkpoint(); size == c.next {
		return nil
	}
	for record, err := range c.ledger.Read(ctx, c.next, 0) {
		if err != nil {
			return err
		}
		entry, err := record.Entry()
		if err != nil {
			return err
		}
		c.take(ca.Recorded{Index: record.Index, Entry: entry})
		c.next = record.Index + 1
	}
	return nil
}

// begin reads who there is. What is written meanwhile is read again by catchUp.
func (c *census) begin(ctx context.Context, now time.Time) error {
	_, _, size := c.ledger.Checkpoint()
	issuers, err := c.ledger.LiveIssuers(ctx, now)
	if err != nil {
		return err
	}
	live, err := c.ledger.LiveSVIDs(ctx, now)
	if err != nil {
		return err
	}
	c.svids, c.issuers, c.pods = map[string]*holding{}, map[string]parent{}, bindings{}
	for _, r := range append(issuers, live...) {
		c.take(r)
	}
	c.next, c.read = size, true
	return nil
}

func (c *census) take(r ca.Recorded) {
	e := r.Entry
	switch e.Kind {
	case ca.KindIssuer:
		c.issuers[e.Serial] = parent{e.IssuerSubject, e.IssuerSerial}
	case ca.KindSVID:
		h := holdingOf(r)
		c.svids[e.Serial] = h
		if b := h.bearer(); h.pod != (podName{}) && c.pods[b].Before(h.notAfter) {
			c.pods[b] = h.notAfter
		}
	}
}

// bearer is whose an SVID is that was bound to a pod.
func (h *holding) bearer() bearer { return bearer{pod: h.pod, uid: h.uid, id: h.id} }

func holdingOf(r ca.Recorded) *holding {
	e := r.Entry
	h := &holding{index: r.Index, serial: e.Serial, proof: e.ProofSerial, issuer: e.IssuerSerial, id: e.SPIFFEID, uid: e.PodUID,
		issuedAt: e.Time, notAfter: e.NotAfter}
	if key, ok := podOf(e); ok {
		h.pod = podName{key.Namespace, key.Name}
	}
	return h
}

// bound says whether a bearer has a live SVID that was bound to its pod, as the ledger
// is by now.
func (c *census) bound(ctx context.Context, b bearer) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if err := c.catchUp(ctx, now); err != nil {
		return false, err
	}
	return c.pods.hold(b, now), nil
}

// moved is how many SVIDs of an identity were issued since a time to move it to another
// root: of those that were renewed from one SVID, the first.
func (c *census) moved(ctx context.Context, spiffeID string, since time.Time) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.catchUp(ctx, time.Now()); err != nil {
		return 0, err
	}
	root, seen := c.roots(), map[string]bool{}
	for _, h := range c.svids {
		if h.id != spiffeID || h.issuedAt.Before(since) {
			continue
		}
		if before := c.svids[h.proof]; before != nil && root(before.issuer) != root(h.issuer) {
			seen[h.proof] = true
		}
	}
	return len(seen), nil
}

// prune drops what has ended; mu is held. It answers the serials of which an
// acknowledgement still says something, nil if it is not time yet.
func (c *census) prune(now time.Time) (needed map[string]bool) {
	if now.Sub(c.pruned) < pruneEvery {
		return nil
	}
	c.pruned = now
	needed = map[string]bool{}
	for serial, h := range c.svids {
		if ended(h.notAfter, now) {
			delete(c.svids, serial)
			continue
		}
		needed[serial], needed[h.proof] = true, true
	}
	maps.DeleteFunc(c.pods, func(_ bearer, end time.Time) bool { return ended(end, now) })
	return needed
}

// ended: an SVID lives through the second in which it ends, as the ledger counts.
func ended(notAfter, now time.Time) bool { return notAfter.Unix() < now.Unix() }

// roots answers of issuers which root they lead to, each asked for once; mu is held.
func (c *census) roots() func(issuerSerial string) string {
	known := map[string]string{}
	return func(serial string) string {
		root, ok := known[serial]
		if !ok {
			if p, recorded := c.issuers[serial]; recorded {
				root = c.rootOf(p.subject, p.serial)
			}
			known[serial] = root
		}
		return root
	}
}
