package daemon

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/mesh"
)

// flock is a mesh of which the test writes all parts. Pods are named ACCOUNT-N and have
// the UID u-NAME; issuers "i1" and "i2" lead to the roots "r1" and "r2".
type flock struct {
	records []ca.Recorded
	reports []report.Report
	acks    []report.Ack
	agents  map[string]agents.Agent
	list    revocation.List
	err     error
	// scans are the questions for all live SVIDs, reads the entries that were read one by one.
	scans, reads int
	done         []revocation.Target
}

func (f *flock) Checkpoint() (string, string, uint64) { return "", "", uint64(len(f.records)) }
func (f *flock) LiveIssuers(context.Context, time.Time) ([]ca.Recorded, error) {
	return f.of(ca.KindIssuer), f.err
}
func (f *flock) LiveSVIDs(_ context.Context, now time.Time) ([]ca.Recorded, error) {
	f.scans++
	return slices.DeleteFunc(f.of(ca.KindSVID), func(r ca.Recorded) bool { return r.Entry.NotAfter.Unix() < now.Unix() }), f.err
}
func (f *flock) of(kind ca.EntryKind) []ca.Recorded {
	return slices.DeleteFunc(slices.Clone(f.records), func(r ca.Recorded) bool { return r.Entry.Kind != kind })
}
func (f *flock) Read(_ context.Context, from, _ uint64) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for _, r := range f.records[from:] {
			f.reads++
			data, err := r.Entry.MarshalJSON()
			if !yield(ledger.Record{Index: r.Index, Data: data}, errors.Join(err, f.err)) {
				return
			}
		}
	}
}
func (f *flock) All(context.Context) ([]report.Report, error)          { return f.reports, nil }
func (f *flock) Acks(context.Context) ([]report.Ack, error)            { return f.acks, nil }
func (f *flock) Put(context.Context, report.Report) error              { return f.err }
func (f *flock) PutSightings(context.Context, []report.Sighting) error { return f.err }
func (f *flock) Prune(context.Context, func(namespace, pod string) bool) (int, error) {
	return 0, f.err
}
func (f *flock) Connected() (map[string]agents.Agent, <-chan struct{}) { return f.agents, nil }
func (f *flock) Current() (*revocation.List, <-chan struct{})          { return &f.list, nil }
func (f *flock) Do(_ context.Context, actor string, v revocation.Verb, target revocation.Target, reason string) (revocation.Act, *revocation.List, error) {
	if actor != "ensignd" || v != revocation.Revoke || reason == "" {
		return revocation.Act{}, nil, errors.New("not so")
	}
	f.done = append(f.done, target)
	f.list.Issuers = append(f.list.Issuers, revocation.Issuer{Serial: target.Value})
	return revocation.Act{}, &f.list, f.err
}

// add appends an entry.
func (f *flock) add(e ca.Entry) {
	f.records = append(f.records, ca.Recorded{Index: uint64(len(f.records)), Entry: e})
}

func (f *flock) issuer(serial, root string) {
	f.add(ca.Entry{Kind: ca.KindIssuer, Serial: serial, IssuerSubject: "CN=" + root, IssuerSerial: "5" + root})
}

// svid is one of an account, for an hour; bound to a pod, or to none if that is "".
func (f *flock) svid(account, pod, serial, proof, issuer string) {
	now := time.Now()
	e := ca.Entry{Kind: ca.KindSVID, Time: now, Serial: serial, ProofSerial: proof, IssuerSerial: issuer, Pod: pod,
		SPIFFEID: "spiffe://cluster.local/ns/shop/sa/" + account, NotAfter: now.Add(time.Hour)}
	if pod != "" {
		e.PodUID = "u-" + pod
	}
	f.add(e)
}

func ackBy(pod, account, serial string) report.Ack {
	return report.Ack{Namespace: "shop", Pod: pod, PodUID: "u-" + pod, SPIFFEID: "spiffe://cluster.local/ns/shop/sa/" + account, Serial: serial}
}

// followers is the part of ensignd that is tested, over a mesh of these pods.
func (f *flock) followers(t testing.TB, pods ...string) *followers {
	t.Helper()
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	snapshot := &mesh.Snapshot{TrustDomain: td, Workloads: map[mesh.Key]*mesh.Workload{}, Accounts: map[mesh.Key]*mesh.Account{}}
	for _, pod := range pods {
		name, _, _ := strings.Cut(pod, "-")
		account := identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: name}
		snapshot.Workloads[mesh.Key{Namespace: "shop", Name: pod}] = &mesh.Workload{UID: "u-" + pod, Account: account}
		snapshot.Accounts[mesh.Key{Namespace: "shop", Name: name}] = &mesh.Account{}
	}
	w := &world{}
	w.snapshot.Store(snapshot)
	said, err := newTestimony(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	rootOf := func(subject, serial string) string {
		if root := strings.TrimPrefix(subject, "CN="); serial == "5"+root {
			return root
		}
		return ""
	}
	return &followers{world: w, census: &census{ledger: f, rootOf: rootOf}, testimony: said, registry: f, register: f, prune: f.Prune, log: slog.New(slog.DiscardHandler)}
}

// lines say of each instance its name, what it holds, and what is known of it.
func lines(list []rotation.Instance) []string {
	var out []string
	for _, one := range list {
		line := one.Name + ":"
		for _, svid := range one.SVIDs {
			line += fmt.Sprintf(" %s@%s", svid.Serial, svid.Root)
		}
		if one.Report != nil {
			line += " acked " + one.Report.AckedSerial
		}
		if one.Connected {
			line += " connected"
		}
		if one.Gone {
			line += " gone"
		}
		out = append(out, line)
	}
	return out
}

// holdings is one case of who holds what.
type holdings struct {
	make func(f *flock)
	want []string
}

func (c holdings) check(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	f.issuer("i2", "r2")
	c.make(f)
	got, _, err := f.followers(t, "web-1", "web-2", "till-1").Instances(t.Context())
	if diff := cmp.Diff(c.want, lines(got)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestWhoHoldsWhat(t *testing.T) {
	agent := func(pod, uid string) map[string]agents.Agent {
		return map[string]agents.Agent{"shop/" + pod: {Name: "shop/" + pod, PodUID: uid, SPIFFEID: webID, Bound: true}}
	}
	wrote := func(pod, uid, serial string) report.Report {
		return report.Report{Namespace: "shop", Pod: pod, PodUID: uid, SPIFFEID: webID, Bound: true, AckedSerial: serial, ReceivedAt: time.Now()}
	}
	for name, c := range map[string]holdings{
		"nobody": {func(*flock) {}, nil},
		"bound to its pod": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.svid("web", "web-1", "2f", "1f", "i2")
			f.reports, f.agents = []report.Report{wrote("web-1", "u-web-1", "2f")}, agent("web-1", "u-web-1")
		}, []string{"shop/web-1: 1f@r1 2f@r2 acked 2f connected"}},
		"an earlier pod of the name does not speak for it": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.reports, f.agents = []report.Report{wrote("web-1", "earlier", "1f")}, agent("web-1", "earlier")
		}, []string{"shop/web-1: 1f@r1"}},
		"its pod is gone": {func(f *flock) { f.svid("web", "web-9", "1f", "", "i1") }, []string{"shop/web-9#u-web-9: 1f@r1 gone"}},
		"its pod is gone, its agent is not": {func(f *flock) {
			f.svid("web", "web-9", "1f", "", "i1")
			f.agents = agent("web-9", "u-web-9")
		}, []string{"shop/web-9#u-web-9: 1f@r1 connected"}},
		"its pod runs as somebody else":  {func(f *flock) { f.svid("till", "web-1", "1f", "", "i1") }, []string{"shop/web-1#u-web-1: 1f@r1 gone"}},
		"of an issuer that nobody knows": {func(f *flock) { f.svid("web", "web-1", "1f", "", "i9") }, []string{"shop/web-1: 1f@"}},
		"cut off": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.svid("web", "web-1", "2f", "1f", "i2")
			f.svid("web", "web-2", "3f", "", "i1")
			f.list = revocation.List{Certificates: []revocation.Certificate{{Serial: "2f"}, {Serial: "3f", Quarantined: true}}}
		}, []string{"shop/web-1: 1f@r1"}},
		"of a revoked issuer": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.list = revocation.List{Issuers: []revocation.Issuer{{Serial: "i1"}}}
		}, nil},
	} {
		t.Run(name, c.check)
	}
}

// TestWhoseAnSVIDOfNoPodIs: of the pod whose Envoy acknowledged it, or a part of its chain.
func TestWhoseAnSVIDOfNoPodIs(t *testing.T) {
	for name, c := range map[string]holdings{
		"bound to an account, and nobody says whose": {func(f *flock) {
			f.svid("web", "", "1f", "", "i1")
			f.svid("web", "", "2f", "1f", "i2")
			f.svid("web", "", "3f", "", "i1")
		}, []string{webID + "#1f: 1f@r1 2f@r2", webID + "#3f: 3f@r1"}},
		"bound to an account that is gone": {func(f *flock) { f.svid("ghost", "", "1f", "", "i1") }, []string{"spiffe://cluster.local/ns/shop/sa/ghost#1f: 1f@r1 gone"}},
		"a chain is whose Envoy acknowledged a part of it": {func(f *flock) {
			f.svid("web", "", "1f", "", "i1")
			f.svid("web", "", "2f", "1f", "i1") // its answer was lost
			f.svid("web", "", "3f", "1f", "i2")
			f.acks = []report.Ack{ackBy("web-1", "web", "3f")}
		}, []string{"shop/web-1: 1f@r1 2f@r1 3f@r2"}},
		"or of what it was renewed from, which has ended": {func(f *flock) {
			f.svid("web", "", "2f", "1f", "i1")
			f.acks = []report.Ack{ackBy("web-1", "web", "1f")}
		}, []string{"shop/web-1: 2f@r1"}},
		"two say that it is theirs": {func(f *flock) {
			f.svid("web", "", "1f", "", "i1")
			f.acks = []report.Ack{ackBy("web-1", "web", "1f"), ackBy("web-2", "web", "1f")}
		}, []string{"shop/web-1: 1f@r1", "shop/web-2: 1f@r1"}},
		"another identity says that it is its": {func(f *flock) {
			f.svid("web", "", "1f", "", "i1")
			f.acks = []report.Ack{ackBy("till-1", "till", "1f")}
		}, []string{webID + "#1f: 1f@r1"}},
		"another says that a pod's is its": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.acks = []report.Ack{ackBy("web-2", "web", "1f")}
		}, []string{"shop/web-1: 1f@r1"}},
	} {
		t.Run(name, c.check)
	}
}
