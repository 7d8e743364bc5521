package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// hurry is the window, and how long silence is waited for, when a root was compromised.
	hurry     = time.Minute
	minWindow = time.Second
	maxWindow = 24 * time.Hour
	maxAfter  = 30 * 24 * time.Hour
	// slack is how much longer than its window a step may take before Abort turns it around.
	slack = 5 * time.Minute
)

// complete fills in what a person left open, so that the ledger holds what was meant,
// and refuses what can't be. A place to go back to may be one where no root is made.
func (m *Manager) complete(s *state, o Options, back ...string) (Options, error) {
	from := s.signing()
	if o.Via == "" && from.place == Imported {
		o.Via = Builtin
	} else if o.Via == "" {
		o.Via = from.place
	}
	if o.Window == 0 {
		if o.Window = DefaultWindow; o.Compromised {
			o.Window = hurry
		}
	}
	if o.Laggards.Policy == "" {
		if o.Laggards.Policy = Wait; o.Compromised {
			o.Laggards = Laggards{SkipOffline, hurry}
		}
	}
	if o.Laggards.Policy == Abort && o.Laggards.After == 0 {
		o.Laggards.After = o.Window + slack
	}
	return o, m.refusal(o, back)
}

func (m *Manager) refusal(o Options, back []string) error {
	l := o.Laggards
	switch {
	case o.Via == Imported && !slices.Contains(back, Imported):
		return fmt.Errorf("%w: an imported root can only be the first one: rotate to %s", ErrRefused, strings.Join(m.places(), " or "))
	case m.cfg.Places[o.Via] == nil:
		return fmt.Errorf("%w: ensignd was not told where %.40q is: roots can live in %s; for vault start it with --vault-addr", ErrRefused, o.Via, strings.Join(m.places(), ", "))
	case o.Window < minWindow || o.Window > maxWindow:
		return fmt.Errorf("%w: a window of %s: choose %s to %s", ErrRefused, o.Window, minWindow, maxWindow)
	case !slices.Contains([]Policy{Wait, SkipOffline, Abort}, l.Policy):
		return fmt.Errorf("%w: %.40q is no policy for laggards: wait, skip-offline or abort", ErrRefused, l.Policy)
	case l.Policy != Wait && (l.After < time.Second || l.After > maxAfter):
		return fmt.Errorf("%w: %s needs a time of %s to %s", ErrRefused, l.Policy, time.Second, maxAfter)
	case l.Policy == Abort && l.After <= m.dwell(Distributing):
		return fmt.Errorf("%w: abort after %s: both roots are shown for %s at least before the new one signs, choose more", ErrRefused, l.After, m.dwell(Distributing))
	case l.Policy == Abort && o.Compromised:
		return fmt.Errorf("%w: abort would go back to the compromised root: wait, or skip-offline", ErrRefused)
	}
	return nil
}

// places where roots can be made.
func (m *Manager) places() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.cfg.Places)), func(p string) bool { return p == Imported })
}
