package identity_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

// answers is an authenticator that says the same to everybody.
type answers struct {
	caller identity.Caller
	err    error
}

func (a answers) Authenticate(context.Context, identity.Credentials) (identity.Caller, error) {
	return a.caller, a.err
}

func TestCombined(t *testing.T) {
	soon, later := time.Unix(100, 0), time.Unix(200, 0)
	account := func(name string) identity.ServiceAccount {
		return identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: name}
	}
	token := identity.Caller{Account: account("reviews"), Pod: "r-1", PodUID: "u1", Node: "n", Proof: identity.ProofToken, TokenID: "jti", Expires: later}
	svid := identity.Caller{Account: account("reviews"), Proof: identity.ProofSVID, Serial: "1f", Expires: soon}
	both := token
	both.Serial, both.Expires = "1f", soon
	unbound, boundSVID, otherPod, ratings, reborn := token, svid, svid, svid, svid
	unbound.Pod, unbound.PodUID, unbound.Node = "", "", ""
	boundSVID.Pod, boundSVID.PodUID, boundSVID.Node = "r-1", "u1", "n"
	otherPod.Pod, otherPod.PodUID = "r-2", "u2"
	reborn.Pod, reborn.PodUID = "r-1", "u9"
	ratings.Account = account("ratings")

	chain := []*x509.Certificate{{}}
	for name, c := range map[string]struct {
		bring       identity.Credentials
		token, svid answers
		want        identity.Caller
		err         error
	}{
		"nothing":               {err: identity.ErrNoProof},
		"token":                 {bring: identity.Credentials{Token: "t"}, token: answers{caller: token}, want: token},
		"svid":                  {bring: identity.Credentials{Chain: chain}, svid: answers{caller: svid}, want: svid},
		"both":                  {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: token}, svid: answers{caller: svid}, want: both},
		"pod known by svid":     {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: unbound}, svid: answers{caller: boundSVID}, want: both},
		"other account":         {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: token}, svid: answers{caller: ratings}, err: identity.ErrMismatch},
		"other pod":             {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: token}, svid: answers{caller: otherPod}, err: identity.ErrMismatch},
		"pod of the same name":  {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: token}, svid: answers{caller: reborn}, err: identity.ErrMismatch},
		"bad token, good svid":  {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{err: identity.ErrExpired}, svid: answers{caller: svid}, err: identity.ErrExpired},
		"good token, bad svid":  {bring: identity.Credentials{Token: "t", Chain: chain}, token: answers{caller: token}, svid: answers{err: identity.ErrUnknownAccount}, err: identity.ErrUnknownAccount},
		"bad token alone":       {bring: identity.Credentials{Token: "t"}, token: answers{err: identity.ErrAudience}, svid: answers{caller: svid}, err: identity.ErrAudience},
		"empty chain is no one": {bring: identity.Credentials{Chain: []*x509.Certificate{}}, svid: answers{caller: svid}, err: identity.ErrNoProof},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := identity.Combined(c.token, c.svid).Authenticate(t.Context(), c.bring)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestCallerOfContext(t *testing.T) {
	if _, ok := identity.CallerFrom(t.Context()); ok {
		t.Error("an empty context has a caller")
	}
	want := identity.Caller{Pod: "r-1"}
	if got, ok := identity.CallerFrom(identity.WithCaller(t.Context(), want)); !ok || got != want {
		t.Errorf("got %+v", got)
	}
}
