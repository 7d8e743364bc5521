package xds

import (
	"maps"
	"strconv"
	"strings"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// Recycle makes the proxy (NAMESPACE/POD) close its inbound mTLS connections by
// draining, all of them, once for each revision that is above the last: for an
// agent that can't end those of one peer. A proxy that is not connected does so
// when it comes. It is forgotten with the pod, and by a restart of the server,
// after which the proxy's connections drain once more.
func (s *Server) Recycle(proxy string, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.recycled[proxy] {
		return
	}
	s.recycled[proxy] = revision
	for c := range s.sessions {
		c.poke()
	}
}

// recycledFor is the newest revision that the proxy was recycled for; 0: none.
func (s *Server) recycledFor(proxy string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recycled[proxy]
}

// forgetRecycled drops the proxies whose pods are gone.
func (s *Server) forgetRecycled(snap *mesh.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.recycled, func(proxy string, _ uint64) bool {
		namespace, name, _ := strings.Cut(proxy, "/")
		return snap.Workloads[mesh.Key{Namespace: namespace, Name: name}] == nil
	})
}

// recycle looks again at the inbound listener when the proxy was recycled since.
func (s *session) recycle() {
	if revision := s.server.recycledFor(s.node.pod.String()); revision != s.recycled {
		s.recycled = revision
		s.watches[listener].markWanted(build.VirtualInbound)
	}
}

// recycledForm is the inbound listener as this proxy must have it. One whose
// replacement the proxy refused stays as it is.
func (s *session) recycledForm(r *resource) *resource {
	if s.recycled == 0 || s.recycled == s.unrecycled || r.name != build.VirtualInbound || r.hollow() {
		return r
	}
	fresh, err := s.server.catalog.variant(r, strconv.FormatUint(s.recycled, 10), func() build.Resource {
		return s.server.catalog.make.recycle(r.source, s.recycled)
	})
	if err != nil {
		s.log.Error("listener not replaced", "error", err)
		return r
	}
	return fresh
}
