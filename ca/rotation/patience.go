package rotation

import (
	"errors"
	"time"
)

const (
	firstWait = time.Second
	lastWait  = 15 * time.Second
)

// patience is how something that fails is tried again: later each time. The zero value is ready.
type patience struct {
	failed error
	retry  time.Time
	wait   time.Duration
}

// attempt tries, unless that failed a moment ago: then it answers the same error.
func (p *patience) attempt(try func() error) error {
	if p.failed != nil && time.Now().Before(p.retry) {
		return p.failed
	}
	p.failed = try()
	if p.failed == nil || errors.Is(p.failed, errMoved) {
		*p = patience{}
		return nil
	}
	p.wait = min(max(2*p.wait, firstWait), lastWait)
	p.retry = time.Now().Add(p.wait)
	return p.failed
}
