package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const web = "spiffe://cluster.local/ns/shop/sa/web"

// mesh has one account and one pod.
type mesh struct{}

func (mesh) Account(namespace, name string) (string, bool) {
	return "acc-1", namespace == "shop" && name == "web"
}

func (mesh) Pod(namespace, name string) (identity.Pod, bool) {
	return identity.Pod{UID: "pod-1", Account: "web"}, namespace == "shop" && name == "web-1"
}

// record holds the certificates of its entries.
type record struct {
	entries []ca.Recorded
	err     error
}

func (r record) Holds(_ context.Context, name string) (bool, error) {
	for _, e := range r.entries {
		if e.Entry.Certificate == name || e.Entry.Serial == name {
			return true, r.err
		}
	}
	return false, r.err
}

func (r record) Issued(_ context.Context, id, issuer string, notBefore, notAfter time.Time) (bool, error) {
	for _, e := range r.entries {
		if e.Entry.SPIFFEID == id && e.Entry.IssuerSubject == issuer && e.Entry.NotBefore.Equal(notBefore) && e.Entry.NotAfter.Equal(notAfter) {
			return true, r.err
		}
	}
	return false, r.err
}

func print(n int) string { return fmt.Sprintf("%064x", n) }

// good is a mesh in which everything fits: one workload that renewed an hour ago.
func good() Input {
	e := ca.Entry{
		Kind: ca.KindSVID, Time: now.Add(-time.Hour), Certificate: print(1), Serial: "1", SPIFFEID: web, IssuerSubject: "CN=one",
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour), Pod: "web-1", PodUID: "pod-1", AccountUID: "acc-1",
		TokenAt: now.Add(-time.Hour), KeyAlgorithm: "ECDSA P-256", Requester: "10.0.0.9:4711",
	}
	older := e
	older.Time, older.Certificate, older.Serial = now.Add(-13*time.Hour), print(2), "2"
	older.NotBefore, older.NotAfter = now.Add(-13*time.Hour), now.Add(11*time.Hour)
	live := []ca.Recorded{{Index: 7, Entry: e}, {Index: 3, Entry: older}}
	return Input{
		Now: now, Live: live, Record: record{entries: live}, Mesh: mesh{}, LongestLife: 24 * time.Hour, MaxTokenAge: 30 * 24 * time.Hour,
		Reports: []report.Report{{SPIFFEID: web, Namespace: "shop", Pod: "web-1", AckedSerial: "1", AckedFingerprint: print(1),
			ServedFingerprints: []string{print(1)}, ReceivedAt: now}},
		Sightings: []report.Sighting{
			{Namespace: "shop", Pod: "cart-1", Fingerprint: print(1), Serial: "1", SPIFFEID: web, Inbound: true, SeenAt: now},
			{Namespace: "shop", Pod: "cart-1", SPIFFEID: web, IssuerSubject: "CN=one", NotBefore: e.NotBefore, NotAfter: e.NotAfter, SeenAt: now},
		},
	}
}

func TestWhatFitsIsNoFinding(t *testing.T) {
	found, totals, err := Find(t.Context(), good())
	if err != nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if want := (Totals{Identities: 1, LiveSVIDs: 2, Served: 1, Sightings: 2}); totals != want {
		t.Errorf("%+v, want %+v", totals, want)
	}
}

// TestFindings: each change of the mesh in which all fits is found, and named.
func TestFindings(t *testing.T) {
	newest := func(change func(*ca.Entry)) func(*Input) {
		return func(in *Input) {
			change(&in.Live[0].Entry)
			in.Live, in.Sightings = in.Live[:1], in.Sightings[:1]
		}
	}
	for name, c := range map[string]struct {
		change func(*Input)
		want   map[Kind]string
	}{
		"account gone":    {newest(func(e *ca.Entry) { e.SPIFFEID = "spiffe://cluster.local/ns/shop/sa/ghost" }), map[Kind]string{Orphan: "account is gone"}},
		"account renewed": {newest(func(e *ca.Entry) { e.AccountUID = "acc-0" }), map[Kind]string{Orphan: "deleted and made again"}},
		"pod gone":        {newest(func(e *ca.Entry) { e.Pod = "web-0" }), map[Kind]string{Orphan: "pod is gone"}},
		"pod renewed":     {newest(func(e *ca.Entry) { e.PodUID = "pod-0" }), map[Kind]string{Orphan: "pod was deleted"}},
		"no account's ID": {newest(func(e *ca.Entry) { e.SPIFFEID = "spiffe://cluster.local/x" }), map[Kind]string{Orphan: "names no service account"}},
		"not renewed": {newest(func(e *ca.Entry) { e.NotBefore, e.NotAfter = now.Add(-20*time.Hour), now.Add(4*time.Hour) }),
			map[Kind]string{Expiring: "ends in 4h0m0s"}},
		"unused": {func(in *Input) { in.Reports, in.Sightings = nil, nil }, map[Kind]string{Unused: "10.0.0.9:4711"}},
		"unused and new": {func(in *Input) {
			in.Reports, in.Sightings = nil, nil
			in.Live[0].Entry.Time = now.Add(-time.Minute)
		}, nil},
		"short key":         {newest(func(e *ca.Entry) { e.KeyAlgorithm = "RSA 2048" }), map[Kind]string{Weak: "RSA 2048"}},
		"long key":          {newest(func(e *ca.Entry) { e.KeyAlgorithm = "RSA 4096" }), nil},
		"long life":         {newest(func(e *ca.Entry) { e.NotAfter = now.Add(99 * time.Hour) }), map[Kind]string{Weak: "more than the 24h"}},
		"no pod":            {newest(func(e *ca.Entry) { e.Pod, e.PodUID = "", "" }), map[Kind]string{Weak: "bound to no pod"}},
		"old chain":         {newest(func(e *ca.Entry) { e.TokenAt = now.Add(-29 * 24 * time.Hour) }), map[Kind]string{Weak: "no token has proven it"}},
		"served, alien":     {func(in *Input) { in.Reports[0].ServedFingerprints = []string{"serial:beef"} }, map[Kind]string{Unlogged: "beef"}},
		"met, alien client": {func(in *Input) { in.Sightings[0].Fingerprint = print(9) }, map[Kind]string{Unlogged: "a client showed it"}},
		"met, alien server": {func(in *Input) { in.Sightings[1].IssuerSubject = "CN=two" }, map[Kind]string{Unlogged: "a server showed it"}},
		"cut off in use": {func(in *Input) { in.Cut = map[string]Cut{print(1): {Serial: "1", Since: now.Add(-time.Hour)}} },
			map[Kind]string{RevokedInUse: "cut off"}},
		"just cut off": {func(in *Input) { in.Cut = map[string]Cut{print(1): {Serial: "1", Since: now}} }, nil},
		"surge":        {func(in *Input) { in.Surges = []Surging{{SPIFFEID: web, Refused: 9, Since: now}} }, map[Kind]string{Surge: "9 requests"}},
		"fork":         {func(in *Input) { in.Reports[0].Ledger = &report.LedgerSeen{Fork: "two roots at 7"} }, map[Kind]string{Fork: "two roots at 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			c.change(&in)
			found, _, err := Find(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got := map[Kind]bool{}
			for _, f := range found {
				got[f.Kind] = true
				if want, expected := c.want[f.Kind]; !expected || !strings.Contains(f.Detail, want) && f.Kind != RevokedInUse {
					t.Errorf("found %+v; want %v", f, c.want)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

// TestARecordThatDoesNotAnswerIsNoAllClear: without the ledger nothing is known.
func TestARecordThatDoesNotAnswerIsNoAllClear(t *testing.T) {
	in := good()
	in.Record = record{err: errors.New("disk failed")}
	if found, _, err := Find(t.Context(), in); err == nil {
		t.Errorf("answered %v", found)
	}
}
