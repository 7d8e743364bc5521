package vault

import (
	"errors"
	"fmt"
	"path/filepath"
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

// TestAnotherFailureIsNotForgotten with the one that was cured meanwhile.
func TestAnotherFailureIsNotForgotten(t *testing.T) {
	t.Parallel()
	h := &health{}
	h.signed("ensign-1", ErrDenied, time.Now())
	before := h.unsigned()
	h.signed("ensign-1", ErrAnswer, time.Now())
	h.recovered("ensign-1", before["ensign-1"])
	if err := h.problem("ensign-1", time.Now()); !errors.Is(err, ErrAnswer) {
		t.Errorf("health says %v", err)
	}
}

// TestAGoodTokenIsKept when something is denied by its policy and no other is to be had:
// its secret ID was good for one login.
func TestAGoodTokenIsKept(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	appRole(t, s.vault, "1h")
	s.vault.Write(t, "auth/approle/role/ensignd", map[string]any{"secret_id_num_uses": 1})
	secret := s.vault.Write(t, "auth/approle/role/ensignd/secret-id", nil)
	role, err := s.vault.API.Logical().Read("auth/approle/role/ensignd/role-id")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "secret-id")
	write(t, path, fmt.Sprint(secret.Data["secret_id"]))
	s.cfg.Auth = AppRole("approle", fmt.Sprint(role.Data["role_id"]), path)
	first := s.first(t)
	policy, err := s.vault.API.Sys().GetPolicy("ensign-daily")
	if err != nil {
		t.Fatal(err)
	}
	s.vault.Write(t, "sys/policies/acl/ensign-daily", map[string]any{"policy": `path "auth/token/lookup-self" { capabilities = ["read"] }`})
	for range 2 {
		if _, err := first.CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
		if first.place.Healthy(first.name) == nil || first.place.CredentialExpires().IsZero() {
			t.Errorf("%v, and its token ends %s", first.place.Healthy(first.name), first.place.CredentialExpires())
		}
	}
	s.vault.Write(t, "sys/policies/acl/ensign-daily", map[string]any{"policy": policy})
	first.place.cure(t.Context())
	if err := first.place.Healthy(first.name); err != nil {
		t.Errorf("it may sign again, and health says %v", err)
	}
	if _, err := first.CertifyIssuer(t.Context(), newRequest(t)); err != nil {
		t.Error(err)
	}
}
