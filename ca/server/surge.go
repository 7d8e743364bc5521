package server

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// surging is how long after its last refusal an identity counts as surging.
	surging = time.Minute
	// tellEvery is how often the log hears of one identity's surge.
	tellEvery = time.Minute
	// remember is how long a surge is listed after its last refusal.
	remember = time.Hour
)

// Surge is an identity that asked for more certificates than it may get. It is a
// sign of a crash loop, or of somebody else who holds its proof.
type Surge struct {
	SPIFFEID string
	// Since and Last are its first and last refusal.
	Since, Last time.Time
	// Refused is how many certificates it was refused in between.
	Refused int
}

// surges remembers who was refused. Only proven identities come in, so there are
// never more than the mesh has accounts.
type surges struct {
	mu sync.Mutex
	of map[string]*surge
}

type surge struct {
	Surge
	told time.Time
}

// note counts a refusal, and answers whether the log should hear of the surge now.
func (s *surges) note(spiffeID string, now time.Time) (_ Surge, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of[spiffeID]
	if own == nil || now.Sub(own.Last) >= remember {
		s.forget(now)
		own = &surge{Surge: Surge{SPIFFEID: spiffeID, Since: now}}
		s.of[spiffeID] = own
	}
	own.Refused++
	own.Last = now
	if tell = own.told.IsZero() || now.Sub(own.told) >= tellEvery; tell {
		own.told = now
	}
	return own.Surge, tell
}

// list is who was refused within the last hour, by SPIFFE ID.
func (s *surges) list(now time.Time) []Surge {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	list := make([]Surge, 0, len(s.of))
	for _, own := range s.of {
		list = append(list, own.Surge)
	}
	slices.SortFunc(list, func(a, b Surge) int { return cmp.Compare(a.SPIFFEID, b.SPIFFEID) })
	return list
}

// surging is how many were refused within the last minute.
func (s *surges) surging(now time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, own := range s.of {
		if now.Sub(own.Last) < surging {
			n++
		}
	}
	return n
}

func (s *surges) forget(now time.Time) {
	for id, own := range s.of {
		if now.Sub(own.Last) >= remember {
			delete(s.of, id)
		}
	}
}
