package xds

import (
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

func TestStreamsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		sa, pod string
		more    []string
		node    *corev3.Node
		want    codes.Code
		reason  string
	}{
		"pod of another identity": {sa: "web", pod: "db-1", want: codes.PermissionDenied, reason: "identity"},
		"other namespace":         {sa: "web", node: nodeOf("bank", "web-1"), want: codes.PermissionDenied, reason: "namespace"},
		"proof of another pod":    {sa: "web", pod: "web-1", more: []string{"pod", "web-2"}, want: codes.PermissionDenied, reason: "pod"},
		"no such account":         {sa: "ghost", pod: "web-1", want: codes.PermissionDenied, reason: "account"},
		"no node":                 {sa: "web", node: &corev3.Node{}, want: codes.InvalidArgument, reason: "node"},
		"no identity":             {pod: "web-1", want: codes.Unauthenticated, reason: "no_identity"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := shop(t)
				open := func() *envoy { return w.connect("shop", c.sa, c.pod, c.more...) }
				if c.sa == "" {
					open = func() *envoy { return w.anonymous("shop", c.pod) }
				}
				e := open()
				if c.node != nil {
					e.node = c.node
				}
				e.ask(cluster)
				message := e.refusedWith(c.want)
				if got := w.counter(w.server.metrics.rejected, c.reason); got != 1 {
					t.Errorf("rejected{reason=%q} = %d; the message was %q", c.reason, got, message)
				}
			})
		})
	}
}

// TestAPodThatSpeaksForItself: a proof that is bound to none is refused its stream, and
// one that has it loses it, before anything is acknowledged by it.
func TestAPodThatSpeaksForItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var taken atomic.Value // the pod that speaks for itself, or why that is not known
		taken.Store("")
		w := shop(t, func(c *Config) {
			c.Free = func(pod mesh.Key, w *mesh.Workload) error {
				switch {
				case w.Account != account("shop", "web"):
					t.Errorf("asked for %s", w.Account)
				case taken.Load() == pod.String():
					return status.Error(codes.PermissionDenied, "it speaks for itself")
				case taken.Load() == "?":
					return status.Error(codes.Unavailable, "disk")
				}
				return nil
			}
		})
		e := w.connect("shop", "web", "web-1")
		e.start()
		taken.Store("shop/web-1")
		other := w.connect("shop", "web", "web-2")
		other.start()
		w.base(extensionOf("rbac", "v2"))
		e.refusedWith(codes.PermissionDenied)
		again := w.connect("shop", "web", "web-1")
		again.ask(cluster)
		if message := again.refusedWith(codes.PermissionDenied); message != "it speaks for itself" {
			t.Error(message)
		}
		for _, p := range w.server.Proxies() {
			if p.Name == "shop/web-1" {
				t.Errorf("%+v", p)
			}
		}
		late := w.connect("shop", "web", "late-1") // of no workload yet
		late.ask(cluster)
		late.get(cluster, "outbound|80||a")
		taken.Store("?")
		w.base(extensionOf("rbac", "v3"))
		other.refusedWith(codes.Unavailable)
		if got := w.counter(w.server.metrics.rejected, "not_bound"); got != 3 {
			t.Errorf("%d were counted", got)
		}
	})
}

func TestAdmit(t *testing.T) {
	snap := newWorld(t).snap
	foreign := account("shop", "web")
	foreign.TrustDomain = spiffeid.RequireTrustDomainFromString("other.example")
	late, err := parseNode(nodeOf("shop", "late-1").Id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admit(snap, identity.Caller{Account: foreign}, late, epoch); err == nil {
		t.Error("an account of another trust domain is admitted")
	}
	n, err := parseNode(nodeOf("shop", "web-1").Id)
	if err != nil {
		t.Fatal(err)
	}
	caller := identity.Caller{Account: account("shop", "web"), Expires: epoch}
	if _, err := admit(snap, caller, n, epoch); err == nil {
		t.Error("a proof is admitted at the moment it ends")
	}
	caller.Expires = epoch.Add(1)
	if w, err := admit(snap, caller, n, epoch); err != nil || w == nil {
		t.Errorf("the right pod: %v, %v", w, err)
	}
}

func TestAdmitForOthers(t *testing.T) {
	snap := newWorld(t).snap
	caller := identity.Caller{Account: account("shop", "web")}
	for id, want := range map[string]codes.Code{
		nodeOf("shop", "web-1").Id:  codes.OK,
		nodeOf("shop", "late-1").Id: codes.OK,
		nodeOf("shop", "db-1").Id:   codes.PermissionDenied,
		nodeOf("bank", "web-1").Id:  codes.PermissionDenied,
		"nobody":                    codes.InvalidArgument,
	} {
		pod, err := Admit(snap, caller, id)
		if status.Code(err) != want || (err == nil) != (pod.Namespace == "shop") {
			t.Errorf("Admit(%q) = %v, %v; want %s", id, pod, err, want)
		}
	}
}

func TestNodeChangedMidStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := shop(t).connect("shop", "web", "web-1")
		e.ask(cluster)
		r := e.get(cluster, "PassthroughCluster", "outbound|80||a")
		// The same node again, and none, are fine.
		e.say(&deltaRequest{Node: nodeOf("shop", "web-1"), TypeUrl: cluster.url(), ResponseNonce: r.Nonce})
		e.quiet()
		// Another pod is not, even of the same identity.
		e.say(&deltaRequest{Node: nodeOf("shop", "web-2"), TypeUrl: listener.url()})
		e.refusedWith(codes.PermissionDenied)
	})
}

func TestStreamEndsWithItsProof(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := shop(t).connect("shop", "web", "web-1", "ttl", "90s")
		e.start()
		silence(89)
		e.quiet()
		silence(2)
		e.refusedWith(codes.Unauthenticated)
	})
}

func TestStreamEndsWithItsAccount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		web, db := w.connect("shop", "web", "web-1"), w.connect("shop", "db", "db-1")
		web.start()
		db.start()
		key := mesh.Key{Namespace: "shop", Name: "web"}
		w.change(mesh.ChangeSet{ServiceAccounts: mesh.Set[mesh.Key]{key: {}}}, func(s *mesh.Snapshot) { delete(s.Accounts, key) })
		web.refusedWith(codes.PermissionDenied)
		db.quiet()
	})
}

// A pod that the mesh does not know yet denies all inbound, and is upgraded when
// it appears as what its proof says; as something else, its stream ends.
func TestUnknownPod(t *testing.T) {
	for name, runsAs := range map[string]string{"as itself": "web", "as another": "db"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := shop(t)
				in := &mesh.Inbound{Namespace: "shop"}
				w.in[nil] = []build.Resource{listenerOf("virtualInbound", "denies")}
				w.in[in] = []build.Resource{listenerOf("virtualInbound", "serves")}
				e := w.connect("shop", "web", "late-1")
				e.ask(listener)
				denies := e.take(listener, "0.0.0.0_80", "virtualInbound")
				key := mesh.Key{Namespace: "shop", Name: "late-1"}
				w.change(mesh.ChangeSet{Workloads: mesh.Set[mesh.Key]{key: {}}}, func(s *mesh.Snapshot) {
					s.Workloads[key] = &mesh.Workload{Account: account("shop", runsAs), Inbound: in}
				})
				if runsAs != "web" {
					e.refusedWith(codes.PermissionDenied)
					return
				}
				if serves := e.take(listener, "virtualInbound"); serves.Resources[0].Version == denies.Resources[1].Version {
					t.Error("the known pod still denies all")
				}
				w.change(mesh.ChangeSet{Workloads: mesh.Set[mesh.Key]{key: {}}}, func(s *mesh.Snapshot) { delete(s.Workloads, key) })
				e.take(listener, "virtualInbound") // gone: it denies again
			})
		})
	}
}

func TestNotReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.snap.Store(nil)
		if w.server.Ready() {
			t.Error("ready without a snapshot")
		}
		e := w.connect("shop", "web", "web-1")
		e.ask(cluster)
		e.refusedWith(codes.Unavailable)
	})
}
