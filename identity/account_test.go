package identity_test

import (
	"errors"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

func TestAccountAndIDAreInverse(t *testing.T) {
	account, err := identity.NewServiceAccount(td, "shop", "reviews.v1")
	if err != nil {
		t.Fatal(err)
	}
	if got := account.ID().String(); got != "spiffe://cluster.local/ns/shop/sa/reviews.v1" {
		t.Errorf("ID is %s", got)
	}
	back, err := identity.AccountFromID(account.ID())
	if err != nil || back != account {
		t.Errorf("read back %v, %v", back, err)
	}
	if (identity.ServiceAccount{}).String() != "none" || account.String() != account.ID().String() {
		t.Error("text of an account")
	}
}

func TestNewServiceAccountRefuses(t *testing.T) {
	for _, names := range [][2]string{{"", "reviews"}, {"shop", ""}, {"shop", "a/sa/b"}, {"..", "reviews"}, {"shop", "."}, {"shop", "ü"}, {"shop", "a b"}, {"sh%6fp", "x"}} {
		if _, err := identity.NewServiceAccount(td, names[0], names[1]); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%q: %v", names, err)
		}
	}
	if _, err := identity.NewServiceAccount(spiffeid.TrustDomain{}, "shop", "reviews"); !errors.Is(err, identity.ErrMalformed) {
		t.Errorf("no trust domain: %v", err)
	}
}

func TestAccountFromIDRefuses(t *testing.T) {
	for _, id := range []string{"spiffe://cluster.local", "spiffe://cluster.local/ns/shop", "spiffe://cluster.local/ns/shop/sa/a/b", "spiffe://cluster.local/sa/reviews/ns/shop", "spiffe://cluster.local/NS/shop/SA/a"} {
		if account, err := identity.AccountFromID(spiffeid.RequireFromString(id)); err == nil {
			t.Errorf("%s was read as %v", id, account)
		}
	}
}

func FuzzAccountFromID(f *testing.F) {
	f.Add("spiffe://cluster.local/ns/shop/sa/reviews")
	f.Add("spiffe://cluster.local/ns//sa/reviews")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := spiffeid.FromString(text)
		if err != nil {
			return
		}
		account, err := identity.AccountFromID(id)
		if err == nil && account.ID() != id {
			t.Fatalf("%s became %s", id, account.ID())
		}
	})
}
