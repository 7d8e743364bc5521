package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// askState takes the names of a state-of-the-world request: the whole of what
// the client wants now.
func (s *session) askState(w *watch, req *request) error {
	first := !w.asked
	w.asked = true
	if first || len(req.names) > 0 {
		w.wildcard = w.kind.byState() && len(req.names) == 0 || slices.Contains(req.names, "*")
	}
	wanted := make(map[string]struct{}, len(req.names))
	for _, name := range req.names {
		if name != "*" {
			wanted[name] = struct{}{}
		}
	}
	before := w.names
	w.names = wanted
	for name := range before {
		if !w.wants(name) {
			s.letGo(w, name)
		}
	}
	for name := range wanted {
		if _, had := before[name]; !had {
			w.resend(name)
		}
	}
	if first {
		s.markEverything(w)
		s.adoptState(w, req.version)
	}
	return s.bounded(w)
}

// adoptState believes a reconnecting client that it has exactly what it should
// have, when its version says so.
func (s *session) adoptState(w *watch, version string) {
	if version == "" {
		return
	}
	s.returning = true
	var all []*resource
	for _, name := range w.work() {
		if r := s.lookup(w.kind, name); r != nil {
			all = append(all, r)
		}
	}
	if stateVersion(all) != version {
		return
	}
	for _, r := range all {
		w.have[r.name] = entry{acked: r, sent: r}
		w.settle(r.name)
	}
	w.answered = true
}

// stateVersion is the hash of a set of resources in the order of their names.
func stateVersion(all []*resource) string {
	h := sha256.New()
	for _, r := range all {
		h.Write([]byte(r.name + "\x00" + r.version + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
