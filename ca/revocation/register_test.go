package revocation

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

const reviews = "spiffe://cluster.local/ns/shop/sa/reviews"

// TestWhatActsCover holds one mesh against each act: reviews has two pods and an SVID
// bound to none, ratings one pod. The thief of 101 renewed it twice.
func TestWhatActsCover(t *testing.T) {
	for name, c := range map[string]struct {
		verb    Verb
		kind    Kind
		value   string
		cut     []string
		because map[string]string // of those that are not hit themselves
	}{
		"serial":                  {Revoke, Serial, "101", []string{"101", "106", "107"}, map[string]string{"106": "renewed from 101", "107": "renewed from 101"}},
		"serial of a renewal":     {Revoke, Serial, "106", []string{"106", "107"}, map[string]string{"107": "renewed from 106"}},
		"serial, as openssl does": {Revoke, Serial, "01:07", []string{"107"}, nil},
		"serial that has expired": {Revoke, Serial, "105", []string{"108"}, map[string]string{"108": "renewed from 105"}},
		"id":                      {Revoke, ID, reviews, []string{"101", "102", "103", "106", "107", "108"}, nil},
		"service account":         {Revoke, ServiceAccount, "shop/reviews", []string{"101", "102", "103", "106", "107", "108"}, nil},
		"pod":                     {Revoke, Pod, "shop/r-1", []string{"101", "106", "107"}, nil},
		"pod of another name":     {Revoke, Pod, "other/r-1", []string{}, nil},
		"issuer":                  {Revoke, IssuerSerial, "b", []string{"103", "107"}, nil},
		"quarantine":              {Quarantine, ID, reviews, []string{"101", "102", "103", "106", "107", "108"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := shop(t)
			p, err := w.Plan(t.Context(), c.verb, target(t, c.kind, c.value))
			if err != nil || len(w.cut()) != 0 {
				t.Fatalf("plan: %v; cut off by it: %v", err, w.cut())
			}
			a := w.act(c.verb, c.kind, c.value)
			if got := w.cut(); !slices.Equal(got, c.cut) {
				t.Fatalf("cut off %v, want %v", got, c.cut)
			}
			l, _ := w.Current()
			for i, cert := range l.Certificates {
				want := c.because[cert.Serial]
				if want == "" {
					want = "itself"
				}
				if cert.Because != want || cert.Act != a.Index || cert.Quarantined != (c.verb == Quarantine) {
					t.Errorf("%s: %+v, want because %q", cert.Serial, cert, want)
				}
				if p.Certificates[i].Serial != cert.Serial || p.Certificates[i].Because != want {
					t.Errorf("planned %+v", p.Certificates[i])
				}
			}
			before := l
			w.restart()
			if after, _ := w.Current(); !reflect.DeepEqual(before, after) {
				t.Errorf("after a restart %+v, before %+v", after, before)
			}
		})
	}
}

func shop(t *testing.T) *world {
	w := newWorld(t)
	w.issuer("a", 30*day)
	w.issuer("b", 30*day)
	first := w.append(token("reviews", "r-1"), "a", day)              // 101
	w.append(token("reviews", "r-2"), "a", day)                       // 102
	w.append(token("reviews", ""), "b", day)                          // 103
	w.append(token("ratings", "s-1"), "a", day)                       // 104
	old := w.append(token("reviews", "r-2"), "a", -time.Hour)         // 105
	renewed := w.append(by(token("reviews", "r-1"), first), "a", day) // 106
	w.append(by(token("reviews", "r-1"), renewed), "b", day)          // 107
	w.append(by(token("reviews", "r-2"), w.middle(t, old)), "a", day) // 108
	return w
}

// middle is an expired renewal whose serial is not counted.
func (w *world) middle(t *testing.T, from string) string {
	t.Helper()
	w.append(by(token("reviews", "r-2"), from), "a", -time.Minute)
	w.entries[len(w.entries)-1].Serial = "ffff"
	w.serial--
	return "ffff"
}

func TestWhoIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop(t)
		old, r1 := token("reviews", "r-1"), token("reviews", "r-1")
		time.Sleep(10*time.Second + 300*time.Millisecond)
		same := token("reviews", "r-1") // of the act's own second
		w.act(Revoke, Pod, "shop/r-1")
		time.Sleep(time.Second)
		newer := token("reviews", "r-1")
		bothOld := newer
		bothOld.Serial = "106"
		noTime := newer
		noTime.IssuedAt = time.Time{}
		for name, c := range map[string]struct {
			caller identity.Caller
			want   error
		}{
			"older token":                     {old, identity.ErrRevoked},
			"token of the same second":        {same, identity.ErrRevoked},
			"token without a time":            {noTime, identity.ErrRevoked},
			"newer token":                     {newer, nil},
			"newer token with a revoked SVID": {bothOld, identity.ErrRevoked},
			"the SVID":                        {by(r1, "101"), identity.ErrRevoked},
			"what a thief renewed":            {by(r1, "107"), identity.ErrRevoked},
			"another pod's SVID":              {by(token("reviews", "r-2"), "102"), nil},
			"another pod's old token":         {identity.Caller{Account: account("reviews"), Pod: "r-2", Proof: identity.ProofToken, IssuedAt: old.IssuedAt}, nil},
			"the same name elsewhere":         {identity.Caller{Account: identity.ServiceAccount{TrustDomain: td, Namespace: "other", Name: "reviews"}, Pod: "r-1", Proof: identity.ProofToken, IssuedAt: old.IssuedAt}, nil},
		} {
			if err := w.Proof(c.caller); !errors.Is(err, c.want) {
				t.Errorf("%s: proof is %v, want %v", name, err, c.want)
			}
			if _, err := w.issue(c.caller, "a", day); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	})
}

func TestQuarantineAndRelease(t *testing.T) {
	w := shop(t)
	w.act(Revoke, Serial, "106")
	w.act(Quarantine, ServiceAccount, "shop/reviews")
	fresh := token("reviews", "r-1")
	fresh.IssuedAt = time.Now().Add(time.Hour)
	if _, err := w.issue(fresh, "a", day); !errors.Is(err, identity.ErrQuarantined) {
		t.Errorf("a token got an SVID: %v", err)
	}
	if _, err := w.issue(by(fresh, "102"), "a", day); !errors.Is(err, identity.ErrQuarantined) {
		t.Errorf("an SVID got an SVID: %v", err)
	}
	if err := errors.Join(w.Proof(fresh), w.Proof(by(fresh, "102"))); err != nil {
		t.Errorf("streams of who is in quarantine are refused: %v", err)
	}
	if err := w.Proof(by(fresh, "106")); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("a revoked SVID in quarantine: %v", err)
	}
	l, _ := w.Current()
	if !slices.Equal(l.Identities, []string{reviews}) {
		t.Errorf("in quarantine: %v", l.Identities)
	}
	for _, c := range l.Certificates {
		if revoked := c.Serial == "106" || c.Serial == "107"; c.Quarantined == revoked {
			t.Errorf("%s: only in quarantine: %v", c.Serial, c.Quarantined)
		}
	}
	p, err := w.Plan(t.Context(), Release, target(t, ID, reviews))
	if err != nil || len(p.Certificates) != 4 || len(p.Warnings) != 1 {
		t.Errorf("plan of the release: %+v, %v", p, err)
	}
	w.act(Release, ID, reviews)
	if got := w.cut(); !slices.Equal(got, []string{"106", "107"}) {
		t.Errorf("after the release %v is cut off", got)
	}
	if _, err := w.issue(by(fresh, "102"), "a", day); err != nil {
		t.Errorf("after the release: %v", err)
	}
	if _, _, err := w.Do(t.Context(), "uid:0", Release, target(t, ID, reviews), ""); !errors.Is(err, ErrNobody) {
		t.Errorf("released twice: %v", err)
	}
}

// TestAPlanIsNoAct: what is renewed between the two is hit as well.
func TestAPlanIsNoAct(t *testing.T) {
	w := shop(t)
	if p, err := w.Plan(t.Context(), Revoke, target(t, Serial, "107")); err != nil || len(p.Certificates) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := w.issue(by(token("reviews", "r-1"), "107"), "a", day); err != nil {
		t.Fatal(err)
	}
	w.act(Revoke, Serial, "107")
	if got := w.cut(); !slices.Equal(got, []string{"107", "109"}) {
		t.Errorf("cut off %v", got)
	}
}

func TestNobodyToActOn(t *testing.T) {
	w := shop(t)
	for _, a := range []Act{
		{Verb: Revoke, Target: target(t, Serial, "abc")},
		{Verb: Revoke, Target: target(t, IssuerSerial, "abc")},
		{Verb: Release, Target: target(t, ID, reviews)},
	} {
		if _, _, err := w.Do(t.Context(), "uid:0", a.Verb, a.Target, ""); !errors.Is(err, ErrNobody) {
			t.Errorf("%s %s: %v", a.Verb, a.Target, err)
		}
		if _, err := w.Plan(t.Context(), a.Verb, a.Target); !errors.Is(err, ErrNobody) {
			t.Errorf("plan of %s %s: %v", a.Verb, a.Target, err)
		}
	}
	if acts, _ := w.Revocations(t.Context()); len(acts) != 0 {
		t.Errorf("the ledger has %v", acts)
	}
}

// TestExpiry: what is cut off drops from the list when it would have ended anyway;
// the revision never goes back.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := t.Context()
		go w.Run(ctx)
		w.issuer("a", 3*day)
		w.append(token("reviews", "r-1"), "a", time.Hour)
		w.append(token("reviews", "r-1"), "a", 2*time.Hour)
		w.append(token("ratings", "s-1"), "a", 2*time.Hour)
		w.act(Revoke, Serial, "103")
		w.act(Revoke, IssuerSerial, "a")
		last := w.act(Revoke, ID, reviews)
		for _, step := range []struct {
			after                time.Duration
			certs, acts, issuers int
		}{
			{time.Hour - time.Second, 3, 3, 1},
			{time.Minute, 2, 3, 1},
			{time.Hour, 0, 2, 1},
			{22*time.Hour - 2*time.Minute, 0, 2, 1},
			{2 * time.Minute, 0, 1, 1},
			{2 * day, 0, 0, 0},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			l, _ := w.Current()
			if len(l.Certificates) != step.certs || len(l.Acts) != step.acts || len(l.Issuers) != step.issuers || l.Revision != last.Index+1 {
				t.Errorf("%s later: %+v", step.after, l)
			}
		}
	})
}

func TestLedgerThatFails(t *testing.T) {
	broken := errors.New("disk on fire")
	w := shop(t)
	fresh := token("ratings", "s-1")
	do := func() error {
		_, _, err := w.Do(t.Context(), "uid:0", Revoke, target(t, ID, reviews), "")
		return err
	}
	w.refuse = broken
	if err := do(); !errors.Is(err, broken) || len(w.cut()) != 0 || w.Healthy() != nil {
		t.Errorf("not written: %v, cut off %v, %v", err, w.cut(), w.Healthy())
	}
	// Written, though Append failed, and not to be read: nothing may be issued.
	w.refuse, w.lose, w.blind = nil, broken, broken
	if err := do(); !errors.Is(err, broken) {
		t.Errorf("written, and said to be not: %v", err)
	}
	if _, err := w.issue(fresh, "a", day); !errors.Is(err, identity.ErrUnavailable) || !errors.Is(w.Healthy(), ErrLists) {
		t.Errorf("issued while nobody knows who is cut off: %v; health: %v", err, w.Healthy())
	}
	if err := w.Proof(by(fresh, "104")); err != nil {
		t.Errorf("the streams of all were ended: %v", err)
	}
	w.lose, w.blind = nil, nil
	if err := w.refresh(t.Context()); err != nil || len(w.cut()) != 6 || w.Healthy() != nil {
		t.Errorf("read again: %v, cut off %v, %v", err, w.cut(), w.Healthy())
	}
	if _, err := w.issue(fresh, "a", day); err != nil {
		t.Errorf("issuing again: %v", err)
	}
}
