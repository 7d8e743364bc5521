package kube_test

import (
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/kube"
)

func TestTokensOfAccounts(t *testing.T) {
	began := time.Now()
	k := kube.Start(t)
	t.Logf("up after %s", time.Since(began).Round(time.Millisecond))
	k.NewAccount(t, "shop", "web")
	k.NewAccount(t, "shop", "gone")
	good, gone := k.Token(t, "shop", "web", "vault"), k.Token(t, "shop", "gone", "vault")
	k.DeleteAccount(t, "shop", "gone")
	for name, is := range map[string]struct {
		token string
		taken bool
	}{
		"good":             {good, true},
		"another end":      {k.Ended(t, good, time.Now().Add(time.Minute)), true},
		"expired":          {k.Ended(t, good, time.Now().Add(-2*time.Minute)), false},
		"another audience": {k.Token(t, "shop", "web"), false},
		"deleted account":  {gone, false},
	} {
		if taken := k.Takes(t, is.token, "vault"); taken != is.taken {
			t.Errorf("%s: taken %t", name, taken)
		}
	}
}
