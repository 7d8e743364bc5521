package daemon

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
)

// TestTheLedgerIsReadOnce: a look reads what is new there only, and an SVID that has
// ended is in none.
func TestTheLedgerIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flock{}
		f.issuer("i1", "r1")
		f.svid("web", "web-1", "1f", "", "i1")
		people := f.followers(t, "web-1")
		look := func(want ...string) {
			t.Helper()
			got, _, err := people.Instances(t.Context())
			if err != nil || !slices.Equal(lines(got), want) {
				t.Errorf("%v, %v; want %v", lines(got), err, want)
			}
		}
		look("shop/web-1: 1f@r1")
		time.Sleep(30 * time.Minute)
		f.issuer("i2", "r2")
		f.svid("web", "web-1", "2f", "1f", "i2")
		for range 100 {
			look("shop/web-1: 1f@r1 2f@r2")
		}
		if f.scans != 1 || f.reads != 2 {
			t.Errorf("%d scans and %d entries read, want 1 and 2", f.scans, f.reads)
		}
		time.Sleep(30 * time.Minute)
		look("shop/web-1: 1f@r1 2f@r2") // in the very second
		time.Sleep(time.Second)
		look("shop/web-1: 2f@r2")
		time.Sleep(time.Hour)
		look()
		if c := people.census; len(c.svids) != 0 || len(c.pods) != 0 {
			t.Errorf("%d SVIDs that have ended are kept, and %d pods that held them", len(c.svids), len(c.pods))
		}
	})
}

// TestWhatAnAgentSaysCountsWhenItIsDurable, and what nobody needs is forgotten.
func TestWhatAnAgentSaysCountsWhenItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flock{}
		f.issuer("i1", "r1")
		f.svid("web", "", "1f", "", "i1")
		people := f.followers(t, "web-1")
		say := func(serial string, at time.Time) error {
			return people.testimony.Put(t.Context(), report.Report{Namespace: "shop", Pod: "web-1", PodUID: "u-web-1", SPIFFEID: webID,
				AckedSerial: serial, AckedBundle: "b", TrustSequence: 7, AgentClock: at.Add(time.Minute), ReceivedAt: at, TrustError: "e"})
		}
		now := time.Now().Add(-time.Second)
		f.err = errors.New("disk")
		if err := say("1f", now); err == nil || len(people.testimony.reports) != 0 {
			t.Errorf("%v, and %d reports count", err, len(people.testimony.reports))
		}
		if _, _, err := people.Instances(t.Context()); err == nil {
			t.Error("nobody is there, by a ledger that can not be read")
		}
		f.err = nil
		for _, one := range []struct {
			serial string
			at     time.Time
		}{{"1f", now}, {"aa", now.Add(time.Second)}, {"bb", now}} {
			if err := say(one.serial, one.at); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := people.Instances(t.Context())
		if err != nil || !slices.Equal(lines(got), []string{"shop/web-1: 1f@r1 acked aa"}) {
			t.Fatalf("%v, %v", lines(got), err)
		}
		if r := got[0].Report; r.Skew != time.Minute || r.AckedBundle != "b" || r.TrustSequence != 7 || !r.ReceivedAt.Equal(now.Add(time.Second)) || r.Problem != "e" {
			t.Errorf("%+v", r)
		}
		if acks := people.testimony.acks; len(acks) != 1 || len(acks["1f"]) != 1 {
			t.Errorf("kept: %v", acks)
		}
	})
}

func TestNothingIsKnownBeforeTheMeshIsLoaded(t *testing.T) {
	people := (&flock{}).followers(t)
	people.world = &world{}
	if _, _, err := people.Instances(t.Context()); !errors.Is(err, errNotReady) {
		t.Errorf("%v", err)
	}
}

func TestIssuersOfACompromisedRootAreRevokedOnce(t *testing.T) {
	f := &flock{}
	f.issuer("1a", "r1")
	f.issuer("1b", "r1")
	f.issuer("2a", "r2")
	people := f.followers(t)
	f.list.Issuers = []revocation.Issuer{{Serial: "1a"}}
	for range 2 {
		if err := people.RevokeIssuers(t.Context(), "r1", "stolen"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []revocation.Target{{Kind: revocation.IssuerSerial, Value: "1b"}}; !slices.Equal(f.done, want) {
		t.Errorf("%v, want %v", f.done, want)
	}
	f.list.Issuers, f.err = nil, errors.New("disk")
	if err := people.RevokeIssuers(t.Context(), "r1", "stolen"); err == nil {
		t.Error("nothing was revoked, and nobody hears of it")
	}
}

// TestWhoWasMovedCountsForNoDay: of one that was renewed twice by the same proof, once.
func TestWhoWasMovedCountsForNoDay(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	f.issuer("i2", "r2")
	f.svid("web", "web-1", "1f", "", "i1")
	f.svid("web", "web-1", "2f", "1f", "i1") // an ordinary renewal
	f.svid("web", "web-1", "3f", "2f", "i2")
	f.svid("web", "web-1", "4f", "2f", "i2") // the second by this proof
	f.svid("web", "web-2", "5f", "gone", "i2")
	f.svid("till", "till-1", "6f", "", "i1")
	f.svid("till", "till-1", "7f", "6f", "i2")
	people := f.followers(t)
	for id, want := range map[string]int{webID: 1, tillID: 1, "spiffe://cluster.local/ns/shop/sa/x": 0} {
		if got, err := people.census.moved(t.Context(), id, time.Now().Add(-time.Minute)); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", id, got, err, want)
		}
	}
	if got, err := people.census.moved(t.Context(), webID, time.Now().Add(time.Minute)); err != nil || got != 0 {
		t.Errorf("before that day: %d, %v", got, err)
	}
	f.err = errors.New("disk")
	if _, err := f.followers(t).census.moved(t.Context(), webID, time.Now()); err == nil {
		t.Error("nobody was moved, by a ledger that can not be read")
	}
}

// TestALongChainIsWalkedOnce: one who renews all day makes no look slow.
func TestALongChainIsWalkedOnce(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	const length = 50_000
	for n := range length {
		f.svid("web", "", fmt.Sprintf("%x", n+1), fmt.Sprintf("%x", n), "i1")
	}
	people := f.followers(t, "web-1")
	begun := time.Now()
	got, _, err := people.Instances(t.Context())
	if err != nil || len(got) != 1 || len(got[0].SVIDs) != length {
		t.Errorf("%d instances, %v", len(got), err)
	}
	if took := time.Since(begun); took > 20*time.Second { // quadratic, it takes minutes
		t.Errorf("one look took %s", took)
	}
}

// BenchmarkInstances is one look at 10,000 pods in the middle of a rotation.
func BenchmarkInstances(b *testing.B) {
	for _, bound := range []bool{true, false} {
		b.Run(fmt.Sprintf("bound=%t", bound), func(b *testing.B) {
			const pods = 10_000
			f := &flock{}
			f.issuer("i1", "r1")
			f.issuer("i2", "r2")
			names := make([]string, pods)
			for n := range pods {
				names[n] = fmt.Sprintf("web-%d", n)
				pod := names[n]
				if !bound {
					pod = ""
					f.acks = append(f.acks, ackBy(names[n], "web", fmt.Sprintf("a%x", n)))
				}
				f.svid("web", pod, fmt.Sprintf("a%x", n), "", "i1")
				f.svid("web", pod, fmt.Sprintf("b%x", n), fmt.Sprintf("a%x", n), "i2")
				f.reports = append(f.reports, report.Report{Namespace: "shop", Pod: names[n], PodUID: "u-" + names[n], SPIFFEID: webID})
			}
			people := f.followers(b, names...)
			for b.Loop() {
				if got, _, err := people.Instances(b.Context()); err != nil || len(got) != pods {
					b.Fatalf("%d, %v", len(got), err)
				}
			}
		})
	}
}
