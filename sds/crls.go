package sds

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// crlHolder keeps the set of CRLs that is in force.
type crlHolder struct {
	// follow is told of each set, one at a time.
	follow  func(*crlSet)
	metrics *Metrics
	logger  *slog.Logger

	mu      sync.Mutex // guards all below
	current *crlSet
	changed chan struct{} // closed when current is replaced
}

func newCRLHolder(follow func(*crlSet), metrics *Metrics, logger *slog.Logger) *crlHolder {
	return &crlHolder{follow: follow, metrics: metrics, logger: logger, current: &crlSet{}, changed: make(chan struct{})}
}

// watch is the set in force and a channel that is closed when there is another.
func (h *crlHolder) watch() (*crlSet, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.changed
}

// replace takes a set in the place of old, whatever that is if old is nil; false
// if old is not the one in force any more.
func (h *crlHolder) replace(old, set *crlSet) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old != nil && h.current != old {
		return false
	}
	h.current = set
	close(h.changed)
	h.changed = make(chan struct{})
	h.metrics.lists(set)
	h.follow(set)
	return true
}

// take puts a new set in force, and out of it when its first CRL ends.
func (h *crlHolder) take(set *crlSet) {
	h.replace(nil, set)
	if set.problem != "" {
		h.logger.Error("no CRL is in force: the control plane's are not usable", "crl_revision", set.revision, "error", set.problem)
		return
	}
	h.logger.Info("crls taken", "crl_revision", set.revision, "crls", len(set.lists))
	if len(set.lists) > 0 {
		h.expire(set)
	}
}

// expire looks at the clock until the set ends or is replaced. A timer alone would
// not do, see lookAgain.
func (h *crlHolder) expire(set *crlSet) {
	if current, _ := h.watch(); current != set {
		return
	}
	left := time.Until(set.ends.Round(0))
	if left <= 0 {
		h.drop(set, fmt.Errorf("a CRL ends at %s and the control plane has sent no other", utc(set.ends.Add(crlMargin))))
		return
	}
	time.AfterFunc(min(left, lookAgain), func() { h.expire(set) })
}

// drop takes the whole set out of force, unless another has taken its place.
func (h *crlHolder) drop(set *crlSet, reason error) {
	if h.replace(set, set.without(reason)) {
		h.logger.Error("no CRL is in force any more", "crl_revision", set.revision, "error", reason)
	}
}

// refused is Envoy's word on a ROOTCA that held the set.
func (h *crlHolder) refused(set *crlSet, reason string) {
	if len(set.lists) > 0 {
		h.drop(set, errors.New("envoy refused ROOTCA with them: "+reason))
	}
}
