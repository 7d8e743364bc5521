package sds

import (
	"sync"
	"time"
)

// Acknowledged is what Envoy has taken over SDS, by its own word.
type Acknowledged struct {
	// Serial and Fingerprint are of the leaf, lower-case hex; "" until the first ACK.
	Serial, Fingerprint string
	// Bundle is the BundleHash of the roots; "" until the first ACK.
	Bundle string
	// At is when the last change of the above was acknowledged; zero before.
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
	held map[holder]secret
	// crls is what Envoy should have, taken what it all had last.
	crls, taken *crlSet
	errors      map[string]string
	state       Acknowledged
	changed     chan struct{}
}

// holder is one secret on one stream.
type holder struct {
	stream uint64
	name   string
}

func newTracker() *tracker {
	return &tracker{held: map[holder]secret{}, crls: &crlSet{}, errors: map[string]string{}, changed: make(chan struct{})}
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
	for h := range t.held {
		if h.stream == stream {
			delete(t.held, h)
		}
	}
	t.settle()
}

func (t *tracker) ack(stream uint64, s secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[holder{stream, s.name}] = s
	delete(t.errors, s.name)
	t.settle()
}

func (t *tracker) nack(name, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors[name] = name + ": " + reason
	t.settle()
}

// settle works the state out and tells who waits if it changed.
func (t *tracker) settle() {
	next := t.state
	if svid := t.oldest(SecretCertificate); svid != nil {
		next.Serial, next.Fingerprint = svid.Serial(), svid.Fingerprint()
	}
	if svid := t.oldest(SecretRoots); svid != nil {
		next.Bundle = svid.Bundle()
	}
	if next != t.state {
		next.At = time.Now()
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
	for h, s := range t.held {
		if h.name == SecretRoots {
			streams++
			behind = behind || s.crls.version != t.crls.version
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

// oldest is the oldest SVID that some stream still holds for the secret.
func (t *tracker) oldest(name string) *SVID {
	var oldest *SVID
	for h, s := range t.held {
		if h.name == name && (oldest == nil || s.svid.Received.Before(oldest.Received)) {
			oldest = s.svid
		}
	}
	return oldest
}

func (t *tracker) watch() (Acknowledged, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.changed
}
