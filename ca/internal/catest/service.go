package catest

import (
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

// TrustDomain is that of every test.
var TrustDomain = spiffeid.RequireTrustDomainFromString("cluster.local")

// Mesh is a CA with what stands around it.
type Mesh struct {
	Service  *ca.Service
	Upstream *Upstream
	Ledger   *Ledger
}

// NewMesh makes a CA whose root lives for a year. edit may change its configuration.
func NewMesh(t testing.TB, edit func(*ca.Config)) Mesh {
	t.Helper()
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m := Mesh{Upstream: NewUpstream(t, 365*24*time.Hour), Ledger: &Ledger{}}
	cfg := ca.Config{TrustDomain: TrustDomain, Profile: profile, Upstream: m.Upstream, Ledger: m.Ledger}
	if edit != nil {
		edit(&cfg)
	}
	if m.Service, err = ca.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return m
}

// Caller is an account of namespace shop that proved itself with a token.
func Caller(account string) identity.Caller {
	return identity.Caller{
		Account: identity.ServiceAccount{TrustDomain: TrustDomain, Namespace: "shop", Name: account}, AccountUID: "account-uid",
		Pod: account + "-1", PodUID: "pod-uid", Node: "node-1",
		Proof: identity.ProofToken, TokenID: "token-1", Expires: time.Now().Add(time.Hour),
	}
}

// Parse is ca.ParseCSR of a request that must be good.
func Parse(t testing.TB, text []byte) ca.CSR {
	t.Helper()
	csr, err := ca.ParseCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}
