package sds

import "fmt"

// Problems are what keeps a Source from its work; "" where nothing does.
type Problems struct {
	// Renewal is why the last attempt to get an SVID failed.
	Renewal string
	// Trust is why the newest [Trust] was not followed; or what is wrong with the roots
	// in force: the SVID in use leads to none of them, or they could not be kept.
	Trust string
}

// Problems are those of now, and a channel that is closed when they change.
func (s *Source) Problems() (Problems, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problems, s.troubled
}

// tell works the problems out and tells who waits if they changed.
func (s *Source) tell() {
	s.telling.Lock()
	defer s.telling.Unlock()
	trouble := s.trouble()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := Problems{Renewal: s.failure, Trust: s.refusal}
	if next.Trust == "" {
		next.Trust = trouble
	}
	if next == s.problems {
		return
	}
	s.problems = next
	close(s.troubled)
	s.troubled = make(chan struct{})
}

func (s *Source) trouble() string {
	set, _ := s.roots.watch()
	svid, err := s.Live()
	if err == nil && set != nil && !svid.under(set.roots) {
		return fmt.Sprintf("the roots are in force, but SVID %s leads to none of them: it is being renewed", svid.Serial())
	}
	return cutText(s.roots.problem())
}
