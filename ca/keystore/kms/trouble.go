package kms

import (
	"context"
	"errors"
	"sync"
	"time"
)

// trouble is what went wrong last, and since when something did without a break.
type trouble struct {
	mu    sync.Mutex
	err   error
	since time.Time
}

// note takes how it went, and says whether that is news.
func (t *trouble) note(err error) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case err == nil:
		news = t.err != nil
		t.since = time.Time{}
	case t.err == nil:
		news = true
		t.since = time.Now()
	}
	t.err = err
	return news
}

func (t *trouble) now() (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.err
}
