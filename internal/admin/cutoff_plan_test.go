package admin

import (
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

func account(name string) identity.ServiceAccount {
	return identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: name}
}

// shop has two pods of web behind one host, one of till behind another.
func shop() *mesh.Snapshot {
	pod := func(name string) mesh.Key { return mesh.Key{Namespace: "shop", Name: name} }
	return &mesh.Snapshot{
		TrustDomain: td,
		Workloads: map[mesh.Key]*mesh.Workload{
			pod("web-1"): {Account: account("web")}, pod("web-2"): {Account: account("web")}, pod("till-1"): {Account: account("till")},
		},
		Endpoints: map[string]*mesh.EndpointSet{
			"web.shop":   {Accounts: []spiffeid.ID{account("web").ID()}},
			"both.shop":  {Accounts: []spiffeid.ID{account("till").ID(), account("web").ID()}},
			"till.shop":  {Accounts: []spiffeid.ID{account("till").ID()}},
			"empty.shop": {},
		},
	}
}

func TestWhoIsHit(t *testing.T) {
	web := account("web").String()
	bound := revocation.Certificate{Fingerprint: "f1", Serial: "1f", SPIFFEID: web, Pod: "shop/web-1"}
	unbound := revocation.Certificate{Fingerprint: "f2", Serial: "2f", SPIFFEID: web}
	reports := []report.Report{{Namespace: "shop", Pod: "web-2", AckedSerial: "2f"}, {Namespace: "shop", Pod: "till-1", AckedSerial: "3f"}, {Namespace: "shop", Pod: "gone", AckedSerial: "2f"}}
	for name, c := range map[string]struct {
		target              revocation.Target
		certificates        []revocation.Certificate
		workloads, services []string
	}{
		"a serial that is bound":     {revocation.Target{Kind: revocation.Serial, Value: "1f"}, []revocation.Certificate{bound}, []string{"shop/web-1"}, []string{"both.shop", "web.shop"}},
		"a serial that is in use":    {revocation.Target{Kind: revocation.Serial, Value: "2f"}, []revocation.Certificate{unbound}, []string{"shop/web-2"}, []string{"both.shop", "web.shop"}},
		"an identity":                {revocation.Target{Kind: revocation.ID, Value: web}, nil, []string{"shop/web-1", "shop/web-2"}, []string{"both.shop", "web.shop"}},
		"the same by its account":    {revocation.Target{Kind: revocation.ServiceAccount, Value: "shop/web"}, nil, []string{"shop/web-1", "shop/web-2"}, []string{"both.shop", "web.shop"}},
		"a pod":                      {revocation.Target{Kind: revocation.Pod, Value: "shop/till-1"}, nil, []string{"shop/till-1"}, []string{"both.shop", "till.shop"}},
		"a pod that is gone":         {revocation.Target{Kind: revocation.Pod, Value: "shop/ghost"}, nil, nil, nil},
		"an issuer, by its leaves":   {revocation.Target{Kind: revocation.IssuerSerial, Value: "aa"}, []revocation.Certificate{bound, unbound}, []string{"shop/web-1", "shop/web-2"}, []string{"both.shop", "web.shop"}},
		"an identity that is nobody": {revocation.Target{Kind: revocation.ID, Value: account("ghost").String()}, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			who := hitBy(shop(), c.target, c.certificates)
			if got := who.workloads(shop(), reports); !slices.Equal(got, c.workloads) {
				t.Errorf("workloads %v, want %v", got, c.workloads)
			}
			if got := who.services(shop()); !slices.Equal(got, c.services) {
				t.Errorf("services %v, want %v", got, c.services)
			}
		})
	}
}

func TestWhoCallsOrIsCalled(t *testing.T) {
	web, till, bank := account("web").String(), account("till").String(), account("bank").String()
	now := time.Unix(1_700_000_000, 0)
	who := hitBy(shop(), revocation.Target{Kind: revocation.Serial, Value: "1f"}, []revocation.Certificate{{Fingerprint: "f1", Serial: "1f", SPIFFEID: web, Pod: "shop/web-1"}})
	at := func(pod string, ago time.Duration, s report.Sighting) report.Sighting {
		s.Namespace, s.Pod, s.SeenAt = "shop", pod, now.Add(-ago)
		return s
	}
	for name, c := range map[string]struct {
		sighting report.Sighting
		want     []string
	}{
		"the hit pod met somebody":          {at("web-1", time.Hour, report.Sighting{SPIFFEID: bank}), []string{bank}},
		"somebody met the hit certificate":  {at("till-1", time.Hour, report.Sighting{SPIFFEID: web, Fingerprint: "f1", Inbound: true}), []string{till}},
		"a client met the identity":         {at("till-1", time.Hour, report.Sighting{SPIFFEID: web}), []string{till}},
		"another certificate of the name":   {at("till-1", time.Hour, report.Sighting{SPIFFEID: web, Fingerprint: "f9", Serial: "9f", Inbound: true}), nil},
		"long ago":                          {at("web-1", 25*time.Hour, report.Sighting{SPIFFEID: bank}), nil},
		"two others":                        {at("till-1", time.Hour, report.Sighting{SPIFFEID: bank, Fingerprint: "f9"}), nil},
		"a pod that is not of the mesh met": {at("ghost", time.Hour, report.Sighting{SPIFFEID: web, Fingerprint: "f1"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := who.callers(shop(), []string{"shop/web-1"}, []report.Sighting{c.sighting}, now); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
