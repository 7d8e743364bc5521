package e2e

import (
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

// With no signing key outside of Vault: traffic flows on leaves that it signed one by
// one, over its next root too, and goes on while it is sealed.
func TestVaultSignsEachLeafUnderLoad(t *testing.T) {
	l := ownMesh(t, besideVault(t, "svid"))
	underLoad(t, l, func() {
		if now := rotated(t, l, nil, "rotate", "root", "--window", "2s"); now.Signing().Place != "vault" {
			t.Errorf("the root that signs is in %s", now.Signing().Place)
		}
		if err := l.Vault.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		holds(t, l, probe{from: "reader", url: lab.BookURL, want: 200})
		if err := l.Vault.Unseal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := l.Ensign(t.Context(), "proxy", "renew", "shop/reader"); r.Code != 0 {
			t.Errorf("exit %d: %s", r.Code, r.Output)
		}
	})
}
