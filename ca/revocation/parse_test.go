package revocation

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct{ kind, value, want string }{
		{"serial", "1f", "serial:1f"},
		{"serial", "00:1F:a0", "serial:1fa0"},
		{"issuer", "0AB3", "issuer:ab3"},
		{"serial", strings.Repeat("f", 40), "serial:" + strings.Repeat("f", 40)},
		{"id", "spiffe://cluster.local/ns/shop/sa/reviews", "id:spiffe://cluster.local/ns/shop/sa/reviews"},
		{"pod", "shop/reviews-1", "pod:shop/reviews-1"},
		{"serviceaccount", "shop/reviews.v1", "serviceaccount:shop/reviews.v1"},
	} {
		if got, err := ParseTarget(td, c.kind, c.value); err != nil || got.String() != c.want {
			t.Errorf("%s %s: %s, %v", c.kind, c.value, got, err)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, c := range [][2]string{
		{"serial", ""}, {"serial", "0"}, {"serial", "00:00"}, {"serial", "0x1f"}, {"serial", "1f "}, {"serial", "-1"}, {"serial", "1:f"},
		{"serial", "1f:"}, {"serial", ":1f"}, {"serial", strings.Repeat("f", 41)}, {"serial", "ß"}, {"issuer", "g"},
		{"id", ""}, {"id", "spiffe://other.local/ns/shop/sa/reviews"}, {"id", "spiffe://cluster.local/shop"}, {"id", "spiffe://cluster.local"},
		{"id", "spiffe://CLUSTER.local/ns/shop/sa/reviews"}, {"id", "spiffe://cluster.local/ns/shop/sa/reviews/"}, {"id", "shop/reviews"},
		{"id", "spiffe://cluster.local/ns/shop/sa/" + strings.Repeat("a", 254)},
		{"pod", "reviews-1"}, {"pod", "shop/a/b"}, {"pod", "/a"}, {"pod", "shop/"}, {"pod", "shop/.."}, {"pod", "shop/a b"}, {"pod", "shop/a\n"},
		{"serviceaccount", "shop/" + strings.Repeat("a", 3000)}, {"", "shop/a"}, {"node", "a"}, {"Serial", "1f"},
	} {
		if got, err := ParseTarget(td, c[0], c[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s %.60q: %s, %v", c[0], c[1], got, err)
		}
	}
}

func TestActsThatAreRefused(t *testing.T) {
	good := Act{Actor: "uid:0", Verb: Revoke, Target: Target{Serial, "1f"}, Reason: "stolen"}
	if err := good.check(td); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Act){
		"verb":               func(a *Act) { a.Verb = "forgive" },
		"no verb":            func(a *Act) { a.Verb = "" },
		"quarantined serial": func(a *Act) { a.Verb = Quarantine },
		"released pod":       func(a *Act) { a.Verb, a.Target = Release, Target{Pod, "shop/a"} },
		"other spelling":     func(a *Act) { a.Target.Value = "1F" },
		"no actor":           func(a *Act) { a.Actor = "" },
		"two lines":          func(a *Act) { a.Reason = "a\nb" },
		"no text":            func(a *Act) { a.Reason = "\xff" },
		"long reason":        func(a *Act) { a.Reason = strings.Repeat("a", 1025) },
	} {
		a := good
		change(&a)
		if err := a.check(td); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnUnknownActIsNotPassedOver: a newer version may have written it.
func TestAnUnknownActIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	w.memory.Append(t.Context(), ca.Entry{Kind: ca.KindRevocation, Time: time.Now(), Actor: "uid:0", Verb: "revoke", Object: "node:n1"})
	if _, err := Open(t.Context(), Config{TrustDomain: td, Ledger: w.memory, TokenLife: day}); !errors.Is(err, ErrInvalid) {
		t.Errorf("opened: %v", err)
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("serial", "00:1F:a0")
	f.Add("id", "spiffe://cluster.local/ns/shop/sa/reviews")
	f.Add("pod", "shop/reviews-1")
	f.Add("serviceaccount", "shop/reviews")
	f.Fuzz(func(t *testing.T, kind, value string) {
		first, err := ParseTarget(td, kind, value)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || len(err.Error()) > 4096 {
				t.Fatalf("refused by %v", err)
			}
			return
		}
		a := Act{Index: 7, Time: time.Unix(1e9, 0).UTC(), Actor: "uid:0", Verb: Revoke, Target: first}
		if again, err := actOf(td, ca.Recorded{Index: 7, Entry: a.entry()}); err != nil || again != a {
			t.Fatalf("%v is read back from the ledger as %v, %v", a, again, err)
		}
		first.account(td)
	})
}
