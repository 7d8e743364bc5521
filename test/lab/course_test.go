package lab

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

func TestACourseBesideItsLoads(t *testing.T) {
	began := time.Now()
	c := Course{Began: began, Stages: []Stage{
		{Step: "distributing", After: 100 * time.Millisecond, Gate: "new-bundle: 2 of 2 ready, 0 skipped, 0 gone"},
		{Step: "activating", After: 1200 * time.Millisecond, Faults: []string{"a: upstream_rq_5xx 1"}},
		{Step: "activating", Reversed: true, After: 1900 * time.Millisecond, Unread: "no Envoy\nof b"},
	}}
	loads := []load.Report{
		// One that began a slice earlier, one that began two later.
		{Began: began.Add(-time.Second), Slices: []load.Slice{{Sent: 1}, {Sent: 10, Max: time.Millisecond}, {Sent: 20, Failed: 1}}},
		{Began: began.Add(2 * time.Second), Slices: []load.Slice{{Sent: 5, Max: time.Second}}},
	}
	want := `
AFTER  STEP                            SENT  FAILED  SLOWEST
0.0 s  → distributing                  10    0       1ms
1.0 s  → activating → activating (back)  20  1       0s
2.0 s  activating (back)               5     0       1s`
	if got := c.Beside(time.Second, loads...); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s", got)
	}
	if got := c.String(); len(strings.Split(got, "\n")) != 4 || !strings.Contains(got, "a: upstream_rq_5xx 1") || !strings.Contains(got, "not read: no Envoy") {
		t.Errorf("got\n%s", got)
	}
	if c.Took() != 1800*time.Millisecond {
		t.Errorf("took %s", c.Took())
	}
}

func TestAStageCountsHandshakesAndFaults(t *testing.T) {
	before := Zero{"a": {"ssl.handshake": 3, "upstream_rq_5xx": 1}}
	after := Zero{"a": {"ssl.handshake": 5, "upstream_rq_5xx": 2}}
	var s Stage
	s.count(before, after, nil, nil)
	if s.Handshakes != 2 || len(s.Faults) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAnAuthorityNamesWhoSignsAndIsTrusted(t *testing.T) {
	var a Authority
	text := `{"now":"2026-11-21T12:00:00Z","roots":[{"sha256":"aa","place":"builtin","trusted":true,"signing":false},
		{"sha256":"bb","place":"vault","name":"ensign-x","trusted":true,"signing":true}],"bundle_sha256":"cc",
		"issuer":{"serial":"1","root_sha256":"bb","not_after":"2026-11-28T12:00:00Z"},"upstream":{"place":"vault"},
		"rotation":{"id":"x","outcome":"running","step":"activating","gate":{"name":"new-root","instances":7,"ready":3,"waiting":4,
		"laggards":[{"name":"shop/reader","reason":"late"}]},"timeline":[{"verb":"begin","actor":"uid:0"}]}}`
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	if a.Signing().Fingerprint != "bb" || strings.Join(a.Trusted(), " ") != "aa bb" || a.Rotation.Gate.Waiting != 4 ||
		a.Rotation.Gate.Laggards[0].Name != "shop/reader" || a.Issuer.NotAfter.IsZero() || !a.Upstream.IssuingUntil.IsZero() || a.Rotation.Timeline[0].Verb != "begin" {
		t.Errorf("%+v", a)
	}
}
