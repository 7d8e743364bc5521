package sds

import (
	"slices"
	"sync"
	"time"
)

// Acknowledged is what Envoy has taken over SDS, by its own word.
type Acknowledged struct {
	// Serial and Fingerprint are of the leaf, lower-case hex; "" until the first ACK.
	Serial, Fingerprint string
	// Bundle is the BundleHash of the roots that every stream has taken, with no other
	// ones on their way; "" until the first ACK, and while that is not so.
	Bundle string
	// TrustSequence is that of the newest [Trust] which every stream has come to: its
	// roots are Bundle, and nothing that was to be sent before it is on its way. 0 while
	// there is no Bundle, as without an Envoy, or it came with an SVID.
	TrustSequence uint64
	// At is when the last change of serial or bundle was acknowledged; zero before.
	At time.Time
	// Error is the last refusal, with the secret's name; "" if there was none
	// since the last ACK of that secret.
	Error string
	// CRLRevision is that of the newest set of CRLs that Envoy has taken, as part of
	// ROOTCA; 0 while there is none, and again once a set had to be left out.
	CRLRevision uint64
	// CRLError is why the set that SetCRLs was given last is not in force; "" if it is.
	CRLError string
}

// tracker keeps, over all streams of one Envoy, what was acknowledged. Envoy
// opens a stream a secret, and more if its configuration names the same secret in
// different ways; a secret counts as taken only when all of them took it.
type tracker struct {
	mu   sync.Mutex // guards all below
	next uint64
	held map[place]*holder
	// crls is what Envoy should have, taken what it all had last.
	crls, taken *crlSet
	errors      map[string]string
	state       Acknowledged
	changed     chan struct{}
}

// place is one secret on one stream.
type place struct {
	stream uint64
	name   string
}

// holder is what is there.
type holder struct {
	taken secret // of no name before the first ACK
	// sent are those without an answer so far, oldest first.
	sent []sending
}

type sending struct {
	nonce  string
	secret secret
}

func newTracker() *tracker {
	return &tracker{held: map[place]*holder{}, crls: &crlSet{}, errors: map[string]string{}, changed: make(chan struct{})}
}

// open numbers a stream.
func (t *tracker) open() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.next
}

// close forgets a stream. What it took stays in the state: Envoy still has it.
func (t *tracker) close(stream uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.held {
		if p.stream == stream {
			delete(t.held, p)
		}
	}
	t.settle()
}

// drop forgets one secret of a stream.
func (t *tracker) drop(stream uint64, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, place{stream, name})
	t.settle()
}

// sent notes what is on its way by a nonce.
func (t *tracker) sent(stream uint64, s secret, nonce string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.at(stream, s.name)
	h.sent = append(h.sent, sending{nonce, s})
	t.settle()
}

// ack notes what a stream took, as the answer to a nonce; "" brought it along.
func (t *tracker) ack(stream uint64, s secret, nonce string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.at(stream, s.name)
	h.taken = s
	h.answered(nonce)
	delete(t.errors, s.name)
	t.settle()
}

func (t *tracker) nack(stream uint64, s secret, nonce, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at(stream, s.name).answered(nonce)
	t.errors[s.name] = s.name + ": " + reason
	t.settle()
}

// offered notes that there is nothing to send to a stream: it has this secret, or it is
// on its way to it. If it has the roots already, they are those of the newer Trust, too.
func (t *tracker) offered(stream uint64, s secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.at(stream, s.name)
	if s.roots == nil || h.taken.roots == nil || h.taken.roots.hash != s.roots.hash {
		return
	}
	h.taken.roots = s.roots
	t.settle()
}

func (t *tracker) at(stream uint64, name string) *holder {
	p := place{stream, name}
	if t.held[p] == nil {
		t.held[p] = &holder{}
	}
	return t.held[p]
}

// answered forgets what was sent up to a nonce: a stream is read in its order.
func (h *holder) answered(nonce string) {
	if i := slices.IndexFunc(h.sent, func(s sending) bool { return s.nonce == nonce }); i >= 0 {
		h.sent = slices.Delete(h.sent, 0, i+1)
	}
}

// settle works the state out and tells who waits if it changed.
func (t *tracker) settle() {
	next := t.state
	if svid := t.oldest(); svid != nil {
		next.Serial, next.Fingerprint = svid.Serial(), svid.Fingerprint()
	}
	bundle, sequence, known := t.bundle()
	if known {
		next.Bundle = bundle
	}
	if next != t.state {
		next.At = time.Now()
	}
	if known {
		next.TrustSequence = sequence
	}
	next.CRLRevision, next.CRLError = t.obeyed(), t.crls.problem
	next.Error = t.errors[SecretCertificate]
	if next.Error == "" {
		next.Error = t.errors[SecretRoots]
	}
	if next == t.state {
		return
	}
	t.state = next
	close(t.changed)
	t.changed = make(chan struct{})
}

// follow says which CRLs Envoy should have from now on.
func (t *tracker) follow(set *crlSet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crls = set
	t.settle()
}

// obeyed is the revision of the CRLs that every stream has taken. Until the newest
// is taken it is the one before, as long as it is one before: a control plane that
// counts from a lower number again gets no credit for what it has not said yet.
func (t *tracker) obeyed() uint64 {
	if t.crls.problem != "" {
		return 0
	}
	streams, behind := 0, false
	for p, h := range t.held {
		if p.name == SecretRoots && h.taken.name != "" {
			streams++
			behind = behind || h.taken.crls.version != t.crls.version
		}
	}
	if streams > 0 && !behind {
		t.taken = t.crls
		return t.crls.revision
	}
	// What was taken stays so when its streams close.
	if before := t.state.CRLRevision; before < t.crls.revision || (t.taken == t.crls && !behind) {
		return before
	}
	return 0
}

// oldest is the oldest SVID that some stream still holds; nil while one of them has
// taken none: it may serve one of before.
func (t *tracker) oldest() *SVID {
	var oldest *SVID
	for p, h := range t.held {
		switch {
		case p.name != SecretCertificate:
		case h.taken.name == "":
			return nil
		case oldest == nil || h.taken.svid.Received.Before(oldest.Received):
			oldest = h.taken.svid
		}
	}
	return oldest
}

// bundle is the hash of the roots that all streams hold; "" while they hold different
// ones, or others are on their way, which Envoy may have taken without our hearing of
// it yet. Roots come back in a rollback, so that no order among them would tell. The
// sequence is that of the oldest Trust that some stream has them by. Unknown without a
// stream.
func (t *tracker) bundle() (hash string, sequence uint64, known bool) {
	for p, h := range t.held {
		if p.name != SecretRoots {
			continue
		}
		if h.taken.name == "" || known && h.taken.roots.hash != hash {
			return "", 0, true
		}
		if by := h.taken.roots.taken(); !known || by < sequence {
			sequence = by
		}
		hash, known = h.taken.roots.hash, true
		if slices.ContainsFunc(h.sent, func(s sending) bool { return s.secret.roots.hash != hash }) {
			return "", 0, true
		}
	}
	return hash, sequence, known
}

func (t *tracker) watch() (Acknowledged, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.changed
}
