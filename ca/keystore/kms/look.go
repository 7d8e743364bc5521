package kms

import (
	"context"
	"maps"
	"slices"
	"time"
)

// lookEvery is how often places are looked after that nobody may need for days.
const lookEvery = 30 * time.Second

// Run looks now and then whether the keys that were read are where they should be, so
// that their Healthy says what is so. It returns nil when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.Look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Look asks the places once, and nobody to sign anything: the one where keys are made,
// and those of the keys that were read.
func (s *Store) Look() {
	if !s.cfg.Place.IsFile() {
		in := s.room(s.cfg.Place)
		// What is wrong is noted.
		_, _ = enter(s.ctx, in, func() (struct{}, error) {
			if len(in.live) == 0 {
				in.drop() // no key of it tells whether it is there still
			}
			_, err := in.open(s.ctx)
			return struct{}{}, err
		})
	}
	s.mu.Lock()
	keys := slices.Collect(maps.Values(s.signers))
	s.mu.Unlock()
	for _, k := range keys {
		k.look()
	}
}
