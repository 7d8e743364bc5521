package ca_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// TestEntryEncoding pins the bytes that are hashed: old entries must verify for ever.
func TestEntryEncoding(t *testing.T) {
	at := time.Date(2026, 3, 4, 6, 6, 7, 89, time.FixedZone("CET", 3600))
	entry := ca.Entry{
		Kind: ca.KindSVID, Time: at, Certificate: "aa", Serial: "1f", SPIFFEID: "spiffe://cluster.local/ns/shop/sa/reviews",
		Key: "bb", IssuerSubject: "CN=x", IssuerSerial: "2", NotBefore: at.Add(-ca.Backdate), NotAfter: at.Add(time.Hour),
		Proof: "token", TokenID: "t", Pod: "p", PodUID: "u", Node: "n", Requester: "10.0.0.1:2",
		AccountUID: "sa-1", TokenAt: at.Add(-time.Hour),
	}
	const want = `{"kind":"svid","time":"2026-03-04T05:06:07Z","certificate":"aa","serial":"1f",` +
		`"spiffe_id":"spiffe://cluster.local/ns/shop/sa/reviews","key":"bb","issuer_subject":"CN=x","issuer_serial":"2",` +
		`"not_before":"2026-03-04T04:56:07Z","not_after":"2026-03-04T06:06:07Z","proof":"token","token_id":"t",` +
		`"pod":"p","pod_uid":"u","node":"n","requester":"10.0.0.1:2","account_uid":"sa-1","token_at":"2026-03-04T04:06:07Z"}`
	if got := string(must(json.Marshal(entry))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	entry.Time, entry.NotBefore, entry.NotAfter, entry.TokenAt = at.UTC(), entry.NotBefore.UTC(), entry.NotAfter.UTC(), entry.TokenAt.UTC()
	if got := string(must(json.Marshal(&entry))); got != want {
		t.Errorf("the same instants in UTC read %s", got)
	}
	admin := ca.Entry{Kind: ca.KindAdmin, Time: at, Actor: "uid:0", Verb: "create", Object: "token shop/reviews", Detail: "ttl 1h"}
	const wantAdmin = `{"kind":"admin","time":"2026-03-04T05:06:07Z","actor":"uid:0","verb":"create","object":"token shop/reviews","detail":"ttl 1h"}`
	if got := string(must(json.Marshal(admin))); got != wantAdmin {
		t.Errorf("got  %s\nwant %s", got, wantAdmin)
	}
}
