package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

const webID, tillID = "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/till"

// crowd is everybody that a population asks.
type crowd struct {
	streams []xds.ProxyStatus
	agents  []agents.Agent
	reports []report.Report
	live    []ca.Recorded
	list    revocation.List
	looks   int
}

func (c *crowd) Proxies() []xds.ProxyStatus                { return c.streams }
func (c *crowd) Agents() ([]agents.Agent, <-chan struct{}) { return c.agents, nil }
func (c *crowd) All(context.Context) ([]report.Report, error) {
	c.looks++
	return c.reports, nil
}

func (c *crowd) population(told uint64, pods ...string) *population {
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	snapshot := &mesh.Snapshot{TrustDomain: td, Workloads: map[mesh.Key]*mesh.Workload{}}
	for _, pod := range pods {
		account := identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: pod[:len(pod)-2]}
		snapshot.Workloads[mesh.Key{Namespace: "shop", Name: pod}] = &mesh.Workload{UID: "u-" + pod, Account: account}
	}
	w := &world{}
	w.snapshot.Store(snapshot)
	return &population{
		world: w, streams: c, agents: c, reports: c,
		live:    func(context.Context, time.Time) ([]ca.Recorded, error) { return c.live, nil },
		list:    func() (*revocation.List, <-chan struct{}) { return &c.list, nil },
		denying: func() uint64 { return told },
	}
}

func svid(id, pod, uid, serial string) ca.Recorded {
	return ca.Recorded{Entry: ca.Entry{Kind: ca.KindSVID, SPIFFEID: id, Pod: pod, PodUID: uid, Serial: serial}}
}

func said(pod, id, serial string, o *report.Obedience) report.Report {
	return report.Report{Namespace: "shop", Pod: pod, SPIFFEID: id, Bound: true, AckedSerial: serial, Obedience: o}
}

func TestWhoCounts(t *testing.T) {
	obeys := &report.Obedience{Revision: 7, CRLRevision: 3, Method: "pidfd", Open: 1, Error: "e"}
	stale := &report.Obedience{Revision: 1, Method: "pidfd"}
	away := revocation.Proxy{Name: "shop/web-1", SPIFFEID: webID, Agent: true, Revision: 7, CRLRevision: 3, Method: "pidfd", Open: 1, Error: "e"}
	silent := revocation.Proxy{Name: "shop/web-1", SPIFFEID: webID}
	connected := away
	connected.Connected, connected.DenyAcked = true, true
	unproven := connected
	unproven.DenyAcked = false
	stream := []xds.ProxyStatus{{Name: "shop/web-1", SPIFFEID: webID, Bound: true, DenyAcked: true}}
	for name, c := range map[string]struct {
		crowd crowd
		told  uint64
		want  []revocation.Proxy
	}{
		"nobody":                               {crowd{}, 7, nil},
		"away, its SVID bound to the pod":      {crowd{live: []ca.Recorded{svid(webID, "web-1", "u-web-1", "1f")}}, 7, []revocation.Proxy{silent}},
		"of another pod of the name":           {crowd{live: []ca.Recorded{svid(webID, "web-1", "other", "1f")}}, 7, nil},
		"away, its SVID bound to an account":   {crowd{live: []ca.Recorded{svid(webID, "", "", "1f")}, reports: []report.Report{said("web-1", webID, "1f", obeys)}}, 7, []revocation.Proxy{away}},
		"its SVID has ended":                   {crowd{reports: []report.Report{said("web-1", webID, "1f", obeys)}}, 7, nil},
		"its pod is gone":                      {crowd{live: []ca.Recorded{svid(webID, "web-9", "u-web-9", "1f")}, reports: []report.Report{said("web-9", webID, "1f", obeys)}}, 7, nil},
		"its pod runs as somebody else":        {crowd{live: []ca.Recorded{svid(tillID, "", "", "1f")}, reports: []report.Report{said("web-1", tillID, "1f", obeys)}}, 7, nil},
		"connected":                            {crowd{agents: []agents.Agent{{Name: "shop/web-1", SPIFFEID: webID, Bound: true, Obedience: obeys}}, streams: stream}, 7, []revocation.Proxy{connected}},
		"connected counts more than stored":    {crowd{live: []ca.Recorded{svid(webID, "web-1", "u-web-1", "1f")}, reports: []report.Report{said("web-1", webID, "1f", stale)}, agents: []agents.Agent{{Name: "shop/web-1", SPIFFEID: webID, Bound: true, Obedience: obeys}}, streams: stream}, 8, []revocation.Proxy{connected}},
		"it acknowledged what was before that": {crowd{agents: []agents.Agent{{Name: "shop/web-1", SPIFFEID: webID, Bound: true, Obedience: obeys}}, streams: stream}, 6, []revocation.Proxy{unproven}},
		"a stream without an agent":            {crowd{streams: stream}, 7, []revocation.Proxy{{Name: "shop/web-1", SPIFFEID: webID, Connected: true, DenyAcked: true}}},
		"a stream of somebody else":            {crowd{live: []ca.Recorded{svid(webID, "web-1", "u-web-1", "1f")}, streams: []xds.ProxyStatus{{Name: "shop/web-1", SPIFFEID: webID, DenyAcked: true}}}, 7, []revocation.Proxy{silent}},
		"the later of two streams":             {crowd{streams: append(slices.Clone(stream), xds.ProxyStatus{Name: "shop/web-1", SPIFFEID: webID})}, 7, []revocation.Proxy{{Name: "shop/web-1", SPIFFEID: webID, Connected: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := c.crowd.population(c.told, "web-1", "till-1").Obeying(t.Context(), &revocation.List{Revision: 7})
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestAnIssuerWaitsForWhoCanHearOfIt(t *testing.T) {
	old, newest := &report.Obedience{CRLRevision: 2, Method: "pidfd"}, &report.Obedience{CRLRevision: 3, Method: "pidfd"}
	c := &crowd{
		live: []ca.Recorded{svid(webID, "web-1", "u-web-1", "1f"), svid(webID, "web-2", "u-web-2", "2f"), svid(webID, "web-3", "u-web-3", "3f"),
			svid(webID, "web-4", "u-web-4", "4f"), svid(tillID, "till-1", "u-till-1", "5f")},
		reports: []report.Report{said("web-1", webID, "1f", old), said("web-2", webID, "2f", newest), said("web-3", webID, "3f", old),
			said("web-4", webID, "4f", old), said("till-1", tillID, "5f", old)},
		agents:  []agents.Agent{{Name: "shop/web-3", SPIFFEID: webID, Bound: true, Obedience: old}},
		streams: []xds.ProxyStatus{{Name: "shop/grpc-1", SPIFFEID: webID}},
	}
	c.list.Certificates = []revocation.Certificate{{Serial: "1f"}, {Serial: "3f"}, {Serial: "5f", Quarantined: true}}
	people := c.population(0, "web-1", "web-2", "web-3", "web-4", "till-1")
	// web-1 is revoked and away, web-2 has the CRL, grpc-1 takes none.
	if got := people.without(t.Context(), 3); !slices.Equal(got, []string{"shop/till-1", "shop/web-3", "shop/web-4"}) {
		t.Errorf("waits for %v", got)
	}
	people.world = &world{}
	if got := people.without(t.Context(), 3); len(got) == 0 {
		t.Error("waits for nobody before it is known who there is")
	}
}

func TestTheLedgerIsNotReadForEachLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{}
		people := c.population(0)
		for range 1000 {
			if _, _, err := people.Obeying(t.Context(), &revocation.List{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if c.looks > 3 {
			t.Errorf("%d looks in 5 s", c.looks)
		}
	})
}
