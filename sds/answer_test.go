package sds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

const answerID = "spiffe://cluster.local/ns/shop/sa/reviews"

func expect(t testing.TB) expectation {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return expectation{
		key: key, trustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), namespace: "shop",
		now: time.Now(),
	}
}

func TestAGoodAnswer(t *testing.T) {
	authority := sdstest.New(t)
	e := expect(t)
	svid, err := e.accept(authority.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if svid.ID.String() != answerID || len(svid.Chain) != 2 || len(svid.Roots) != 1 {
		t.Errorf("%v: chain of %d, %d roots", svid, len(svid.Chain), len(svid.Roots))
	}
	if _, err := svid.TLSCertificate().PrivateKey.(*ecdsa.PrivateKey).ECDH(); err != nil {
		t.Errorf("the key is not usable: %v", err)
	}
}

// The life of a chain is that of its shortest certificate.
func TestAChainEndsWithItsFirstCertificate(t *testing.T) {
	authority := sdstest.New(t)
	e := expect(t)
	svid, err := e.accept(authority.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, 1000*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if !svid.Expires().Equal(authority.Issuer.NotAfter) || svid.Live(authority.Issuer.NotAfter) {
		t.Errorf("expires %s, the issuer %s", svid.Expires(), authority.Issuer.NotAfter)
	}
}

// spoiled are answers that must be refused, each with a word of the reason.
var spoiled = []struct {
	name, reason string
	answer       func(t *testing.T, a *sdstest.Authority, e *expectation) []string
}{
	{name: "nothing", reason: "0 elements", answer: func(*testing.T, *sdstest.Authority, *expectation) []string { return nil }},
	{name: "a leaf alone", reason: "1 elements", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		return a.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour))[:1]
	}},
	{name: "garbage", reason: "not a PEM", answer: func(*testing.T, *sdstest.Authority, *expectation) []string { return []string{"x", "y"} }},
	{name: "too large", reason: "bytes in all", answer: func(*testing.T, *sdstest.Authority, *expectation) []string {
		return []string{"x", strings.Repeat("y", maxAnswerBytes)}
	}},
	{name: "a private key", reason: "not a PEM certificate", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		return []string{"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", sdstest.PEM(a.Root)}
	}},
	{name: "another key", reason: "another key", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		return a.IssueFor(t, expect(t).key.Public(), sdstest.Leaf(answerID, time.Hour))
	}},
	{name: "another trust domain", reason: "outside of trust domain", answer: withID("spiffe://other/ns/shop/sa/reviews")},
	{name: "a look-alike trust domain", reason: "outside of trust domain", answer: withID("spiffe://evil.cluster.local/ns/shop/sa/reviews")},
	{name: "another namespace", reason: "not of namespace shop", answer: withID("spiffe://cluster.local/ns/bank/sa/reviews")},
	{name: "no ID", reason: "0 URI SANs", answer: withID("")},
	{name: "no SPIFFE ID", reason: "scheme", answer: withID("https://cluster.local/ns/shop/sa/reviews")},
	{name: "two IDs", reason: "2 URI SANs", answer: withLeaf(func(leaf *x509.Certificate) {
		leaf.URIs = append(leaf.URIs, leaf.URIs[0])
	})},
	{name: "a CA", reason: "no workload certificate", answer: withLeaf(func(leaf *x509.Certificate) {
		leaf.IsCA, leaf.KeyUsage = true, leaf.KeyUsage|x509.KeyUsageCertSign
	})},
	{name: "not for signing", reason: "no workload certificate", answer: withLeaf(func(leaf *x509.Certificate) { leaf.KeyUsage = x509.KeyUsageKeyEncipherment })},
	{name: "for clients only", reason: "both sides", answer: withLeaf(func(leaf *x509.Certificate) { leaf.ExtKeyUsage = leaf.ExtKeyUsage[:1] })},
	{name: "expired", reason: "clock", answer: withLeaf(func(leaf *x509.Certificate) { leaf.NotAfter = time.Now().Add(-time.Second) })},
	{name: "not valid yet", reason: "clock", answer: withLeaf(func(leaf *x509.Certificate) { leaf.NotBefore = time.Now().Add(time.Minute) })},
	{name: "without its issuer", reason: "verifying", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		answer := a.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour))
		return []string{answer[0], answer[2]}
	}},
	{name: "a root that did not sign", reason: "verifying", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		answer := a.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour))
		answer[2] = sdstest.PEM(sdstest.New(t).Root)
		return answer
	}},
	{name: "a leaf as root", reason: "no CA", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		answer := a.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour))
		answer[2] += answer[0]
		return answer
	}},
	{name: "an ID that changed", reason: "has been until now", answer: func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		e.id = spiffeid.RequireFromString("spiffe://cluster.local/ns/shop/sa/ratings")
		return a.IssueFor(t, e.key.Public(), sdstest.Leaf(answerID, time.Hour))
	}},
}

func withID(id string) func(*testing.T, *sdstest.Authority, *expectation) []string {
	return func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		return a.IssueFor(t, e.key.Public(), sdstest.Leaf(id, time.Hour))
	}
}

func withLeaf(spoil func(*x509.Certificate)) func(*testing.T, *sdstest.Authority, *expectation) []string {
	return func(t *testing.T, a *sdstest.Authority, e *expectation) []string {
		leaf := sdstest.Leaf(answerID, time.Hour)
		spoil(leaf)
		return a.IssueFor(t, e.key.Public(), leaf)
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	for _, c := range spoiled {
		t.Run(c.name, func(t *testing.T) {
			authority := sdstest.New(t)
			e := expect(t)
			svid, err := e.accept(c.answer(t, authority, &e))
			if svid != nil || !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, %v; want %v with %q", svid, err, ErrAnswer, c.reason)
			}
		})
	}
}

func TestBundleHashIsOfTheSet(t *testing.T) {
	a, b := sdstest.New(t).Root, sdstest.New(t).Root
	one, other := BundleHash([]*x509.Certificate{a, b, a}), BundleHash([]*x509.Certificate{b, a})
	if one != other || one == BundleHash([]*x509.Certificate{a}) || len(one) != 64 {
		t.Errorf("%s, %s", one, other)
	}
}

func FuzzAnswer(f *testing.F) {
	authority := sdstest.New(f)
	e := expect(f)
	answer := authority.IssueFor(f, e.key.Public(), sdstest.Leaf(answerID, time.Hour))
	f.Add(answer[0], answer[1], answer[2])
	f.Add("", "x", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, leaf, issuer, roots string) {
		svid, err := e.accept([]string{leaf, issuer, roots})
		if err != nil {
			return
		}
		if svid.ID.String() != answerID || !e.key.PublicKey.Equal(svid.Leaf().PublicKey) {
			t.Errorf("accepted %v", svid)
		}
	})
}
