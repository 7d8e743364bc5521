package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/xds/build"
)

// shopper is a caller of the account web, bound to a pod, or to none if that is "".
func shopper(pod string) identity.Caller {
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	c := identity.Caller{Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "web"}, Pod: pod}
	if pod != "" {
		c.PodUID = "u-" + pod
	}
	return c
}

// TestWhoMaySpeakForAPod: while it holds an SVID that was bound to it, nobody but itself.
func TestWhoMaySpeakForAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flock{}
		f.svid("web", "web-1", "1f", "", "i1")
		f.svid("web", "", "3f", "", "i1")
		f.svid("till", "web-2", "4f", "", "i1") // before the pod of that name ran as web
		people := f.followers(t, "web-1", "web-2")
		gate := nodes{people.world, people.census}
		ask := func(caller identity.Caller, pod string, want codes.Code) {
			t.Helper()
			_, err := gate.Pod(t.Context(), caller, "sidecar~10.0.0.5~"+pod+".shop~cluster.local")
			if status.Code(err) != want {
				t.Errorf("%q for %s: %v, want %v", caller.Pod, pod, err, want)
			}
			if want == codes.PermissionDenied && !strings.Contains(fmt.Sprint(err), "its certificates are bound to the pod") {
				t.Errorf("what to do is not said: %v", err)
			}
		}
		for range 1000 {
			ask(shopper("web-1"), "web-1", codes.OK)
			ask(shopper(""), "web-1", codes.PermissionDenied)
			ask(shopper(""), "web-2", codes.OK)
		}
		if f.scans != 1 || f.reads != 0 {
			t.Errorf("%d scans and %d entries read, want 1 and 0", f.scans, f.reads)
		}
		f.svid("web", "web-2", "2f", "", "i1")
		ask(shopper(""), "web-2", codes.PermissionDenied) // at once
		f.list.Certificates = []revocation.Certificate{{Serial: "1f", Quarantined: true}}
		ask(shopper(""), "web-1", codes.PermissionDenied) // what is said now would count when it is released
		f.err = errors.New("disk")
		f.svid("web", "", "5f", "", "i1")
		ask(shopper(""), "web-1", codes.Unavailable)
		ask(shopper("web-1"), "web-1", codes.OK)
		f.err = nil
		time.Sleep(time.Hour + time.Second)
		ask(shopper(""), "web-1", codes.OK)
	})
}

// TestWhatWasSaidBeforeAPodHadItsSVID is nobody's evidence: whoever said it did not prove
// to be that pod. Neither is a stream that was opened by then.
func TestWhatWasSaidBeforeAPodHadItsSVID(t *testing.T) {
	agent := func(bound bool) map[string]agents.Agent {
		return map[string]agents.Agent{"shop/web-1": {Name: "shop/web-1", PodUID: "u-web-1", SPIFFEID: webID, Bound: bound}}
	}
	word := func(bound bool) []report.Report {
		r := wordOf("web-1", "1f", time.Now())
		r.Bound = bound
		return []report.Report{r}
	}
	for name, c := range map[string]holdings{
		"by the pod itself": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.reports, f.agents = word(true), agent(true)
		}, []string{"shop/web-1: 1f@r1 acked 1f connected"}},
		"by somebody": {func(f *flock) {
			f.svid("web", "web-1", "1f", "", "i1")
			f.reports, f.agents = word(false), agent(false)
		}, []string{"shop/web-1: 1f@r1"}},
		"nothing is bound to it": {func(f *flock) {
			f.svid("web", "", "1f", "", "i1")
			f.acks = []report.Ack{ackBy("web-1", "web", "1f")}
			f.reports, f.agents = word(false), agent(false)
		}, []string{"shop/web-1: 1f@r1 acked 1f connected"}},
	} {
		t.Run(name, c.check)
	}
}

// TestNobodyObeysForAPod that holds an SVID of its own.
func TestNobodyObeysForAPod(t *testing.T) {
	obeys := &report.Obedience{Revision: 7, CRLRevision: 3, Method: "pidfd"}
	silent := revocation.Proxy{Name: "shop/web-1", SPIFFEID: webID}
	away := obeying(silent, obeys)
	for name, c := range map[string]struct {
		bound bool
		want  revocation.Proxy
	}{"by the pod itself": {true, away}, "by somebody": {false, silent}} {
		t.Run(name, func(t *testing.T) {
			word := said("web-1", webID, "1f", obeys)
			word.Bound = c.bound
			agent := agents.Agent{Name: "shop/web-1", SPIFFEID: webID, Obedience: obeys, Bound: c.bound}
			live := []ca.Recorded{svid(webID, "web-1", "u-web-1", "1f")}
			for _, crowd := range []crowd{{live: live, reports: []report.Report{word}}, {live: live, agents: []agents.Agent{agent}}} {
				people := crowd.population(7, "web-1")
				got, _, err := people.Obeying(t.Context(), &revocation.List{Revision: 7})
				if diff := cmp.Diff([]revocation.Proxy{c.want}, got); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
			}
		})
	}
}

// TestNobodyTakesAPodsConfiguration: whoever had its stream would acknowledge denials in
// the name of a pod that goes on without.
func TestNobodyTakesAPodsConfiguration(t *testing.T) {
	p := startProcess(t, t.TempDir())
	for _, c := range []struct {
		caller *pupil
		pod    string
		want   codes.Code
	}{
		{enroll(p, "web-1", true), "web-1", codes.OK},
		{enroll(p, "web-1", false), "web-1", codes.PermissionDenied},
		{enroll(p, "web-2", false), "web-2", codes.OK},
	} {
		conn := p.dial(c.caller.roots, c.caller.svid)
		defer conn.Close()
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		node := &corev3.Node{Id: "sidecar~10.0.0.5~" + c.pod + ".shop~cluster.local"}
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: build.TypeCluster}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if status.Code(err) != c.want || err != nil && !strings.Contains(err.Error(), "pod-bound token") {
			t.Errorf("%s: %v, want %s", c.pod, err, c.want)
		}
	}
}

// TestAnEmptyPictureMakesNobodyGone: manifests without a single pod, while there are live
// SVIDs, have fallen over more likely than all pods are gone.
func TestAnEmptyPictureMakesNobodyGone(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	f.svid("web", "web-1", "1f", "", "i1")
	f.svid("web", "", "2f", "", "i1")
	for name, c := range map[string]struct {
		pods  []string
		gone  bool
		doubt string
	}{
		"empty":           {nil, false, "ensign revoke --id " + webID},
		"others are left": {[]string{"till-1"}, true, ""},
	} {
		got, _, err := f.followers(t, c.pods...).Instances(t.Context())
		if err != nil || len(got) != 2 {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		for _, one := range got {
			if one.Gone != c.gone || (one.Doubt == "") != (c.doubt == "") || !strings.Contains(one.Doubt, c.doubt) {
				t.Errorf("%s: %s is gone: %t, %q", name, one.Name, one.Gone, one.Doubt)
			}
		}
	}
	there, _, err := f.followers(t, "web-1").Instances(t.Context())
	if err != nil || slices.ContainsFunc(there, func(one rotation.Instance) bool { return one.Gone || one.Doubt != "" }) {
		t.Errorf("%+v, %v", there, err)
	}
}

// TestNobodyVouchesForAPod: a token of the same account, bound to no pod, says of a pod
// that does not answer that its Envoy has all; it is refused, and the gate waits on.
func TestNobodyVouchesForAPod(t *testing.T) {
	p := startProcess(t, t.TempDir())
	victim, thief := enroll(p, "web-1", true), enroll(p, "web-1", false)
	dismiss := school(t, victim)
	p.until("it is seen", func(a *ensignv1.Authority) bool { return signing(a).LiveSvids == 2 })
	victim.deaf.Store(true)
	p.rotate()
	waits := p.until("it waits for both", func(a *ensignv1.Authority) bool { return a.Rotation.GetGate().GetWaiting() == 2 })
	dismiss()
	thief.roots = p.bundle()
	conn := p.dial(thief.roots, thief.svid)
	defer conn.Close()
	var err error
	if thief.stream, err = ensignv1.NewAgentServiceClient(conn).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := thief.report(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = thief.stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "pod-bound token") {
		t.Errorf("%v", err)
	}
	time.Sleep(2 * time.Second)
	now, err := p.admin.GetAuthority(t.Context(), &ensignv1.GetAuthorityRequest{})
	if err != nil || now.Rotation.Step != waits.Rotation.Step {
		t.Errorf("%v at %s", err, now.GetRotation().GetStep())
	}
}
