package kms

import (
	"errors"
	"testing"
	"time"
)

// TestAKeyIsWellInEitherPlace: the module where it was made hangs for ever, and the one
// where it is now signs.
func TestAKeyIsWellInEitherPlace(t *testing.T) {
	t.Parallel()
	var places []Place
	for _, text := range []string{"pkcs11:module-path=/new.so;token=ensign", "pkcs11:module-path=/old.so;token=ensign"} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	s := &Store{cfg: Config{Place: places[0], Timeout: 10 * time.Millisecond}, ctx: t.Context(), rooms: map[string]*room{}}
	k := &signer{store: s, ref: reference{Place: places[1].String(), Key: "k"}}
	for n, hangs := range []bool{false, true} {
		in := s.room(places[1-n])
		again := make(chan struct{})
		t.Cleanup(func() { close(again) })
		if _, err := enter(t.Context(), in, func() (struct{}, error) { <-again; return struct{}{}, nil }); !errors.Is(err, ErrHangs) {
			t.Fatal(err)
		}
		if since, err := k.Healthy(); errors.Is(err, ErrHangs) != hangs || since.IsZero() == hangs {
			t.Errorf("%d of its places hang: %v since %s", n+1, err, since)
		}
	}
}
