package kms

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrPlace: a URI names no place that keys can be kept in.
	ErrPlace = errors.New("not a place for keys")
	// ErrNotBuilt: this program was built without what the place needs.
	ErrNotBuilt = errors.New("this ensignd is built without it")
	// ErrUnavailable: the place does not answer as it should.
	ErrUnavailable = errors.New("the place of the root's key is not usable")
	// ErrHangs: the place has not answered in time, and is asked nothing before it does.
	ErrHangs = errors.New("it hangs")
	// ErrOtherKey: the place has another key than the one that was made there.
	ErrOtherKey = errors.New("another key is in the place of the root's key")
	// ErrDamaged: a reference does not say what it should.
	ErrDamaged = errors.New("reference to a key is damaged: restore the key folder from a backup")

	errNotMade = fmt.Errorf("it was about to be made: %w", fs.ErrNotExist)
)
