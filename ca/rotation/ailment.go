package rotation

import (
	"errors"
	"time"
)

// Ailment is why a root can not sign, with the cure, and since when that is so without a
// break. It is an error of [Place].Healthy where the place knows since when.
type Ailment struct {
	Err   error
	Since time.Time
}

// Error implements error.
func (a *Ailment) Error() string { return a.Err.Error() }

// Unwrap is what [errors.Is] looks at.
func (a *Ailment) Unwrap() error { return a.Err }

// SinceOf is since when an error of a place is so; zero if that is not known.
func SinceOf(err error) time.Time {
	var known *Ailment
	if errors.As(err, &known) {
		return known.Since
	}
	return time.Time{}
}
