package xds

// Virtual hosts reach Envoy only through a RouteConfiguration that it has
// already: before it they are dropped without a word, with it they are gone. So
// what a client has of virtual hosts follows what it has of routes.

// openRoute marks the virtual hosts of a RouteConfiguration that the client just got.
func (s *session) openRoute(name string) {
	w := s.watches[virtualHost]
	s.scope.view.each(virtualHost, func(r *resource) {
		if routeName(r.name) == name && w.have[r.name].sent != r {
			w.markWanted(r.name)
		}
	})
}

// closeRoute forgets the virtual hosts of a RouteConfiguration that the client lost.
func (s *session) closeRoute(name string) {
	w := s.watches[virtualHost]
	for host := range w.have {
		if routeName(host) == name {
			w.forget(host)
		}
	}
}

// openedRoute says whether the client has the RouteConfiguration of a virtual host.
func (s *session) openedRoute(host string) bool {
	_, ok := s.watches[route].have[routeName(host)]
	return ok
}
