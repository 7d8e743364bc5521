package vault

import (
	"errors"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// TestADeniedLeafIsCuredByItsPolicy: while a good token's policy does not allow the role
// nothing can be issued, and health goes on saying so; once it does, nobody need ask for a
// leaf before that is known.
func TestADeniedLeafIsCuredByItsPolicy(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	first := s.firstRoot(t).(leafRoot)
	service := s.service(t, first)
	issue(t, service)
	write(t, s.tokens, s.vault.NewToken(t, "1h", "ensign-daily"))
	s.vault.Write(t, "auth/token/revoke", map[string]any{"token": s.daily})
	for range 2 {
		if _, err := try(t, service); !errors.Is(err, ca.ErrRemote) || !errors.Is(err, ErrDenied) {
			t.Fatalf("got %v", err)
		}
		first.place.cure(t.Context())
		if err := service.Healthy(time.Now()); !errors.Is(err, ErrDenied) {
			t.Errorf("health says %v", err)
		}
	}
	write(t, s.tokens, s.vault.NewToken(t, "1h", "ensign-leaves"))
	first.place.cure(t.Context())
	if err := service.Healthy(time.Now()); err != nil {
		t.Errorf("it could sign, and health says %v", err)
	}
	issue(t, service)
}

// TestWhoMayNotAskIsCuredByAGoodToken: a policy of the operator's own need not let the
// token ask what it may.
func TestWhoMayNotAskIsCuredByAGoodToken(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	s.vault.Write(t, "sys/policies/acl/own", map[string]any{"policy": `path "auth/token/lookup-self" { capabilities = ["read"] }`})
	s.daily = s.vault.NewToken(t, "1h", "own")
	write(t, s.tokens, s.daily)
	place := s.place(t)
	place.daily.health.signed("ensign-1", ErrDenied, time.Now())
	place.cure(t.Context())
	if err := place.Healthy("ensign-1"); err != nil {
		t.Errorf("health says %v", err)
	}
}

// TestAnIssuersDenialEndsWithThePolicy: a root that the mesh has left is asked for nothing,
// and a rollback to it waits for its health.
func TestAnIssuersDenialEndsWithThePolicy(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	place := s.place(t)
	place.daily.health.signed("ensign-1", ErrDenied, time.Now())
	place.cure(t.Context())
	if err := place.Healthy("ensign-1"); err != nil {
		t.Errorf("it may sign, and health says %v", err)
	}
	place.daily.health.signed("ensign-1", ErrAnswer, time.Now())
	place.cure(t.Context())
	if err := place.Healthy("ensign-1"); !errors.Is(err, ErrAnswer) {
		t.Errorf("health says %v", err)
	}
}
