package rotation

import "time"

// DefaultWindow is over how long renewals are spread.
const DefaultWindow = 10 * time.Minute

// MaxSkew is how far a clock may be off: SVIDs begin ca.Backdate before now, and one
// that begins in a proxy's future is refused there.
const MaxSkew = 9 * time.Minute

// Options are what a person chooses of a rotation.
type Options struct {
	// Via is the place of the new root; "" is that of the old one.
	Via string `json:"via,omitempty"`
	// Window is over how long renewals are spread; 0 is DefaultWindow, less with Compromised.
	Window   time.Duration `json:"window,omitempty"`
	Laggards Laggards      `json:"laggards,omitzero"`
	// Compromised: the old root is not to be believed any more.
	Compromised bool `json:"compromised,omitempty"`
	// WithoutLink: the old root is lost, and is not asked to vouch for the new one.
	WithoutLink bool   `json:"without_link,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// unlinked says why the old root does not vouch for the new one; "" if it does.
func (o Options) unlinked(from *anchor, now time.Time) string {
	if why := from.linkable(now); why != "" || !o.WithoutLink {
		return why
	}
	return "the old root was said to be lost (--without-link)"
}

// Laggards says what is done about instances that keep a gate waiting.
type Laggards struct {
	Policy Policy `json:"policy,omitempty"`
	// After is how long SkipOffline and Abort wait.
	After time.Duration `json:"after,omitempty"`
}

// Policy is one of the three.
type Policy string

// The policies.
const (
	// Wait until they follow, or their SVIDs end.
	Wait Policy = "wait"
	// SkipOffline passes without those who have given no sign of life for so long.
	SkipOffline Policy = "skip-offline"
	// Abort rolls back when a gate has not passed so long after its step began. The last
	// gate of the way back is passed as with SkipOffline.
	Abort Policy = "abort"
)
