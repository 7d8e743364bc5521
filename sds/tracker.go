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
}

// tracker keeps, over all streams of one Envoy, what was acknowledged. Envoy
// opens a stream a secret, and more if its configuration names the same secret in
// different ways; a secret counts as taken only when all of them took it.
type tracker struct {
	mu      sync.Mutex // guards all below
	next    uint64
	held    map[holder]*SVID
	errors  map[string]string
	state   Acknowledged
	changed chan struct{}
}

// holder is one secret on one stream.
type holder struct {
	stream uint64
	name   string
}

func newTracker() *tracker {
	return &tracker{held: map[holder]*SVID{}, errors: map[string]string{}, changed: make(chan struct{})}
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
	t.held[holder{stream, s.name}] = s.svid
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

// oldest is the oldest SVID that some stream still holds for the secret.
func (t *tracker) oldest(name string) *SVID {
	var oldest *SVID
	for h, svid := range t.held {
		if h.name == name && (oldest == nil || svid.Received.Before(oldest.Received)) {
			oldest = svid
		}
	}
	return oldest
}

func (t *tracker) watch() (Acknowledged, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.changed
}
