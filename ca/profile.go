package ca

import (
	"fmt"
	"time"
)

// Ceilings and defaults of every profile.
const (
	// Backdate is how long before now a certificate starts, for peers whose
	// clocks are behind. It is not part of a certificate's life as counted here.
	Backdate = 10 * time.Minute

	DefaultLifetime       = 24 * time.Hour
	DefaultIssuerLifetime = 7 * 24 * time.Hour

	maxLifetime       = 7 * 24 * time.Hour
	minLifetime       = time.Minute
	minShortLifetime  = 10 * time.Second
	maxIssuerLifetime = 30 * 24 * time.Hour
)

// ProfileConfig is what people may choose about certificates. Zero values are defaults.
type ProfileConfig struct {
	// Lifetime of a leaf when none is asked for; default 24 h.
	Lifetime time.Duration
	// MaxLifetime of a leaf, whatever is asked for; default and at most 7 days.
	MaxLifetime time.Duration
	// MinLifetime of a leaf: less is raised to it. Default one minute, or ten seconds with Short.
	MinLifetime time.Duration
	// IssuerLifetime of this process's issuer, twice Lifetime at least and 30
	// days at most; default 7 days.
	IssuerLifetime time.Duration
	// Short allows leaf lives below one minute, down to ten seconds: for tests
	// and demonstrations of renewal.
	Short bool
}

// Profile is a ProfileConfig within its ceilings. The zero Profile is not valid:
// see [NewProfile].
type Profile struct {
	lifetime, shortest, longest time.Duration
	issuer                      time.Duration
}

// NewProfile checks the choices against the ceilings.
func NewProfile(c ProfileConfig) (Profile, error) {
	floor := minLifetime
	if c.Short {
		floor = minShortLifetime
	}
	p := Profile{
		lifetime: orDefault(c.Lifetime, DefaultLifetime),
		shortest: orDefault(c.MinLifetime, floor),
		longest:  orDefault(c.MaxLifetime, maxLifetime),
		issuer:   orDefault(c.IssuerLifetime, DefaultIssuerLifetime),
	}
	switch {
	case p.longest > maxLifetime:
		return Profile{}, fmt.Errorf("longest SVID life %s is over the ceiling of %s", p.longest, maxLifetime)
	case p.shortest < floor:
		return Profile{}, fmt.Errorf("shortest SVID life %s is under the floor of %s", p.shortest, floor)
	case p.lifetime < p.shortest || p.lifetime > p.longest:
		return Profile{}, fmt.Errorf("SVID life %s is not within %s to %s", p.lifetime, p.shortest, p.longest)
	case p.issuer > maxIssuerLifetime:
		return Profile{}, fmt.Errorf("issuer life %s is over the ceiling of %s", p.issuer, maxIssuerLifetime)
	case p.issuer < 2*p.lifetime:
		return Profile{}, fmt.Errorf("issuer life %s must be at least twice the SVID life %s", p.issuer, p.lifetime)
	}
	return p, nil
}

func orDefault(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return d
}

// Longest is the longest life of a leaf.
func (p Profile) Longest() time.Duration { return p.longest }

// life is how long a leaf that starts now may live: the asked life, or the
// default if it is 0, within the profile.
func (p Profile) life(asked time.Duration) time.Duration {
	if asked == 0 {
		asked = p.lifetime
	}
	return min(max(asked, p.shortest), p.longest)
}

// validity is a leaf's window. It never leaves the issuer's own.
func (p Profile) validity(now time.Time, asked time.Duration, issuerStart, issuerEnd time.Time) (notBefore, notAfter time.Time) {
	// Certificates count in whole seconds; rounding down never prolongs.
	now = now.UTC().Truncate(time.Second)
	notBefore, notAfter = now.Add(-Backdate), now.Add(p.life(asked)).Truncate(time.Second)
	if notBefore.Before(issuerStart) {
		notBefore = issuerStart
	}
	if notAfter.After(issuerEnd) {
		notAfter = issuerEnd
	}
	return notBefore, notAfter
}
