package revocation

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
)

// publish gives a draft its revision, which the next process knows before anybody
// hears of it in this one: no two sets ever have the same. The caller has the turn.
func (c *CRLs) publish(ctx context.Context, d draft) error {
	if sum := digest(d.set.CRLs); sum != c.mark.CRLs {
		next := mark{Revision: c.mark.Revision + 1, CRLs: sum}
		if err := c.shelf.keepMark(next); err != nil {
			return fmt.Errorf("keeping the revision of the CRLs: %w", err)
		}
		c.mark = next
	}
	d.set.Revision = c.mark.Revision
	old := c.now.Load()
	p := &published{Set: &d.set, next: d.next, retry: d.set.Problem != "" || d.problems > 0 || d.pending, changed: old.changed}
	same := reflect.DeepEqual(old.Set, p.Set)
	if same {
		p.Set = old.Set
	} else {
		p.changed = make(chan struct{})
	}
	c.now.Store(p)
	c.metrics.show(d)
	if !same {
		c.tell(ctx, old.Set, p.Set)
		close(old.changed)
	}
	return nil
}

// tell logs what a person may have to act on.
func (c *CRLs) tell(ctx context.Context, old, set *Set) {
	if old.Revision != set.Revision {
		c.cfg.Logger.InfoContext(ctx, "CRLs changed", slog.Uint64("crl_revision", set.Revision), slog.Int("in_force", len(set.CRLs)))
	}
	if set.Problem != "" && set.Problem != old.Problem {
		c.cfg.Logger.ErrorContext(ctx, "CRLs are not as they should be", slog.Int("in_force", len(set.CRLs)), slog.String("problem", set.Problem))
	}
	if !reflect.DeepEqual(old.Warnings, set.Warnings) {
		for _, w := range set.Warnings {
			c.cfg.Logger.WarnContext(ctx, "CRLs do not say all", slog.String("warning", w))
		}
	}
}
