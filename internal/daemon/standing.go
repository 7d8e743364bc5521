package daemon

import (
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
)

// standing is who may keep a stream. It implements edge.Standing.
type standing struct{ register *revocation.Register }

// Proof implements edge.Standing.
func (s standing) Proof(caller identity.Caller) error { return s.register.Proof(caller) }

// Changed implements edge.Standing.
func (s standing) Changed() <-chan struct{} {
	_, changed := s.register.Current()
	return changed
}
