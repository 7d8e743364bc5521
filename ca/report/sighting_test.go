package report

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// peer is a sighting of the n-th peer, n seconds ago.
func peer(pod string, n int) Sighting {
	now := time.Now().UTC().Truncate(time.Second)
	return Sighting{
		Namespace: "shop", Pod: pod, Fingerprint: fmt.Sprintf("%064x", n), Serial: fmt.Sprintf("%x", n),
		SPIFFEID: "spiffe://cluster.local/ns/shop/sa/web", IssuerSubject: "CN=Ensign issuer", Inbound: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), SeenAt: now.Add(-time.Duration(n) * time.Second),
	}
}

func TestSightingsOutliveTheProcess(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "reports.db")}
	s := open(t, c)
	again := peer("a", 2)
	again.SeenAt = again.SeenAt.Add(time.Second)
	for _, batch := range [][]Sighting{nil, {peer("a", 2), peer("a", 3)}, {peer("b", 2)}, {again}} {
		if err := s.PutSightings(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, c).Sightings(t.Context())
	if want := []Sighting{peer("a", 3), again, peer("b", 2)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// TestAPodPushesOutItsOwnSightingsOnly: neither age nor number lets one pod grow without end.
func TestAPodPushesOutItsOwnSightingsOnly(t *testing.T) {
	s := openFile(t)
	if err := s.PutSightings(t.Context(), []Sighting{peer("quiet", 1)}); err != nil {
		t.Fatal(err)
	}
	old := peer("loud", 1<<20)
	if err := s.PutSightings(t.Context(), []Sighting{old}); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < keptSightings+500; from += maxSightings {
		var batch []Sighting
		for n := range maxSightings {
			batch = append(batch, peer("loud", from+n))
		}
		if err := s.PutSightings(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Sightings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byPod := map[string]int{}
	for _, one := range got {
		byPod[one.Pod]++
		if one.Fingerprint == old.Fingerprint {
			t.Error("an outdated sighting is still there")
		}
	}
	if byPod["quiet"] != 1 || byPod["loud"] != keptSightings {
		t.Errorf("%v; want 1 of the quiet one, %d of the loud one", byPod, keptSightings)
	}
}

func TestSightingsThatNoAgentWrites(t *testing.T) {
	s := openFile(t)
	for name, change := range map[string]func(*Sighting){
		"no pod":      func(p *Sighting) { p.Pod = "" },
		"no hex":      func(p *Sighting) { p.Fingerprint = "XY" },
		"long serial": func(p *Sighting) { p.Serial = strings.Repeat("a", 65) },
		"long ID":     func(p *Sighting) { p.SPIFFEID = strings.Repeat("a", 1025) },
		"zero byte":   func(p *Sighting) { p.IssuerSubject = "a\x00" },
		"far year":    func(p *Sighting) { p.NotAfter = time.Unix(1<<40, 0) },
	} {
		one := peer("a", 1)
		change(&one)
		if err := s.PutSightings(t.Context(), []Sighting{one}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, batch := range map[string][]Sighting{
		"two pods": {peer("a", 1), peer("b", 1)},
		"too many": make([]Sighting, maxSightings+1),
	} {
		if err := s.PutSightings(t.Context(), batch); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := s.Sightings(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("refused and kept: %v, %v", got, err)
	}
}

func TestObedienceAndLedgerAreChecked(t *testing.T) {
	s := openFile(t)
	good := sample(1)
	good.Obedience = &Obedience{Revision: 3, Method: "pidfd", Error: strings.Repeat("x", 2000)}
	good.Ledger = &LedgerSeen{Size: 3, Root: strings.Repeat("ab", 32)}
	if err := s.Put(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "shop", good.Pod); err != nil || len(got.Obedience.Error) != maxText || *got.Ledger != *good.Ledger {
		t.Errorf("%+v, %v", got, err)
	}
	if len(good.Obedience.Error) != 2000 {
		t.Error("the caller's report was changed")
	}
	for name, change := range map[string]func(*Report){
		"method": func(r *Report) { r.Obedience = &Obedience{Method: "axe"} },
		"root":   func(r *Report) { r.Ledger = &LedgerSeen{Root: "ab"} },
	} {
		bad := sample(1)
		change(&bad)
		if err := s.Put(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
