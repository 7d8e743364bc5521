package sds

import (
	"context"
	"math/rand/v2"
	"time"
)

// Between two renewals that Renew asked for.
const askedPause = 5 * time.Second

// never is a time that does not come.
var never = time.Unix(1<<40, 0)

// Refused says that the control plane did not take this SVID as a proof. If it is
// the one in use, Run renews it soon instead of at half of its life. It never waits.
func (s *Source) Refused(svid *SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svid == nil || svid != s.current {
		return
	}
	s.refused = true
	s.hurry()
}

// Renew has Run get another SVID now, though at most one in 5 seconds. It never waits.
func (s *Source) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	s.hurry()
}

// hurry has Run ask again when the next attempt is due.
func (s *Source) hurry() {
	select {
	case s.sooner <- struct{}{}:
	default:
	}
}

// rest waits until the SVID is to be renewed: at half of its life, or, hurried, for a
// reason to do so sooner. One that the last renewal should have mended is heard after
// a pause that grows with the hurried ones so far: where a renewal mends nothing,
// each would be a certificate for nothing. It answers the reason; "" for its age.
func (s *Source) rest(ctx context.Context, svid *SVID, hurries int) (reason string, err error) {
	byAge := svid.Received.Add(renewAfter(svid.Received, svid.Expires(), rand.Float64()))
	patient := svid.Received.Add(refusedAfter(hurries, rand.Float64()))
	s.config.Logger.InfoContext(ctx, "svid obtained", "svid", svid, "renew_at", byAge)
	err = s.await(ctx, func() (due time.Time) {
		due, reason = s.due(svid, patient)
		if !due.Before(byAge) {
			due, reason = byAge, ""
		}
		return due
	})
	if err == nil && reason != "" {
		s.config.Logger.InfoContext(ctx, "svid is renewed before its time", "svid", svid, "reason", reason)
	}
	return reason, err
}

// The reasons to renew an SVID before its time.
const (
	reasonAsked   = "somebody asked for it"
	reasonRefused = "the control plane refuses it"
	reasonStray   = "it leads to none of the roots in force"
	reasonRoot    = "it does not lead to the root of the mesh"
)

// mended says whether the reason for which an SVID was asked for is gone with it: then
// one rotation that follows another finds the agent as patient as the first did. Of a
// refusal nobody knows before the control plane sees the SVID.
func (s *Source) mended(reason string, svid *SVID) bool {
	if reason != reasonStray && reason != reasonRoot {
		return false
	}
	_, still := s.due(svid, time.Time{})
	return still != reasonStray && still != reasonRoot
}

// due is the soonest of the reasons to renew an SVID before its time, of which all
// but a person's word have patience.
func (s *Source) due(svid *SVID, patient time.Time) (due time.Time, reason string) {
	set, _ := s.roots.watch()
	stray := set != nil && !svid.under(set.roots)
	s.mu.Lock()
	refused, wish := s.refused, s.wish
	s.mu.Unlock()
	due = never
	switch {
	case refused:
		due, reason = patient, reasonRefused
	case stray:
		due, reason = patient, reasonStray
	case wish.root != nil && !svid.under(wish.leads()):
		if due, reason = wish.due(), reasonRoot; due.Before(patient) {
			due = patient
		}
	}
	if asked := s.askedDue(); asked.Before(due) {
		due, reason = asked, reasonAsked
	}
	return due, reason
}

// askedDue is when the renewal that Renew asked for may begin; never if it did not.
func (s *Source) askedDue() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		return never
	}
	return s.attempted.Add(askedPause)
}

// await sleeps until when comes, which is asked again with each hurry.
func (s *Source) await(ctx context.Context, when func() time.Time) error {
	for {
		if woken, err := sleepUntil(ctx, when(), s.sooner); !woken || err != nil {
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
