package mesh

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// The universe is small on purpose: names, addresses and labels collide often.
var (
	someNamespaces = []string{"shop", "bank", defaultRootNamespace}
	someNames      = []string{"a", "b", "c"}
	someAddresses  = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}
	someLabels     = []map[string]string{nil, {"app": "a"}, {"app": "b"}, {"app": "a", "version": "v1"}}
)

func pick[T any](t *rapid.T, label string, from []T) T { return rapid.SampledFrom(from).Draw(t, label) }

func yes(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

// drawObject draws a valid object of any kind.
func drawObject(t *rapid.T) Object {
	ns, name := pick(t, "namespace", someNamespaces), pick(t, "name", someNames)
	draw := pick(t, "kind", []func(*rapid.T, string, string) Object{
		drawPod, drawPod, drawService, drawSlice, drawPeer, drawPolicy, drawRoute, drawRule, drawEntry, drawRest,
	})
	return draw(t, ns, name)
}

func stamp(t *rapid.T, m *metav1.ObjectMeta) {
	m.CreationTimestamp = metav1.Unix(rapid.Int64Range(0, 2).Draw(t, "created"), 0)
}

func drawPod(t *rapid.T, ns, name string) Object {
	p := newPod(ns, name, pick(t, "ip", append(someAddresses, "")), pick(t, "account", append(someNames, "")), pick(t, "labels", someLabels))
	if yes(t, "plain") {
		delete(p.Labels, sidecarLabel)
	}
	p.Status.Phase = pick(t, "phase", []corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded})
	if yes(t, "terminating") {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(5, 0)}
	}
	return podObject(p)
}

func drawService(t *rapid.T, ns, name string) Object {
	s := newService(ns, name, pick(t, "app", someNames))
	s.Spec.Ports[0].TargetPort = pick(t, "target", []intstr.IntOrString{intstr.FromString("web"), intstr.FromInt32(9090), {}})
	s.Spec.Ports[0].Name = pick(t, "port name", []string{"http", "tcp"})
	s.Spec.ClusterIP = pick(t, "cluster IP", []string{"10.96.0.1", "10.96.0.2", corev1.ClusterIPNone})
	if yes(t, "second port") {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "grpc", Port: 81, TargetPort: intstr.FromInt32(8080)})
	}
	return serviceObject(s)
}

func drawSlice(t *rapid.T, ns, name string) Object {
	s := newSlice(ns, pick(t, "service", someNames), rapid.SliceOfN(rapid.SampledFrom(someAddresses), 0, 3).Draw(t, "ips")...)
	s.Name = name
	for i := range s.Endpoints {
		if yes(t, "ref") {
			s.Endpoints[i].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: pick(t, "pod", someNames)}
		}
		ready := yes(t, "ready")
		s.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: &ready}
	}
	return sliceObject(s)
}

func drawPeer(t *rapid.T, ns, name string) Object {
	p := newPeer(ns, name, security.PeerAuthentication_MutualTLS_Mode(rapid.IntRange(0, 3).Draw(t, "mode")), pick(t, "labels", someLabels))
	if p.Spec.Selector != nil && yes(t, "port level") {
		p.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{8080: {Mode: security.PeerAuthentication_MutualTLS_DISABLE}}
	}
	stamp(t, &p.ObjectMeta)
	return peerObject(p)
}

func drawPolicy(t *rapid.T, ns, name string) Object {
	p := newPolicy(ns, name, security.AuthorizationPolicy_Action(rapid.IntRange(0, 1).Draw(t, "action")), fromPrincipal("cluster.local/ns/shop/sa/"+pick(t, "sa", someNames)))
	if labels := pick(t, "labels", someLabels); labels != nil {
		p.Spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: labels}
	}
	return policyObject(p)
}

func drawRoute(t *rapid.T, ns, name string) Object {
	v := newRoute(ns, name, pick(t, "host", someNames), pick(t, "destination", someNames))
	v.Spec.ExportTo = pick(t, "exportTo", [][]string{nil, {"."}})
	stamp(t, &v.ObjectMeta)
	return routeObject(v)
}

func drawRule(t *rapid.T, ns, name string) Object {
	r := newRule(ns, name, pick(t, "host", someNames), pick(t, "subset", someNames))
	stamp(t, &r.ObjectMeta)
	return ruleObject(r)
}

func drawEntry(t *rapid.T, ns, name string) Object {
	host := pick(t, "host", []string{"a.example", "b.example", "a." + ns + ".svc.cluster.local"})
	e := newEntry(ns, name, host)
	stamp(t, &e.ObjectMeta)
	if labels := pick(t, "labels", someLabels); labels != nil {
		e.Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: labels}
		return entryObject(e)
	}
	e.Spec.Endpoints = []*networking.WorkloadEntry{{Address: pick(t, "ip", someAddresses), ServiceAccount: pick(t, "account", append(someNames, ""))}}
	e.Spec.SubjectAltNames = []string{"spiffe://cluster.local/ns/vm/sa/" + name}
	return entryObject(e)
}

func drawRest(t *rapid.T, ns, name string) Object {
	switch pick(t, "rest", []int{0, 1, 2}) {
	case 0:
		return object(KindNamespace, "", ns, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: pick(t, "labels", someLabels)}})
	case 1:
		return object(KindServiceAccount, ns, name, &corev1.ServiceAccount{ObjectMeta: meta(ns, name)})
	}
	mode := pick(t, "config", []string{"{}", "enableAutoMtls: false", "rootNamespace: bank", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"})
	return object(KindConfigMap, defaultRootNamespace, meshConfigMap, &corev1.ConfigMap{Data: map[string]string{meshConfigKey: mode}})
}

// TestHistoryDoesNotMatter: however objects arrive, change and go, the picture is
// that of its last objects built at once; and each change set names every part
// that differs and no other.
func TestHistoryDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder(testDomain)
		world := map[Ref]Object{}
		last := b.last
		for range rapid.IntRange(1, 8).Draw(t, "updates") {
			next, changes, _ := b.Apply(drawUpdate(t, world))
			checkChanges(t, last, next, changes)
			last = next
			if yes(t, "cut off") {
				next, changes, _ = b.Deny(drawDenied(t))
				checkChanges(t, last, next, changes)
				last = next
			}
		}
		objects := slices.Collect(maps.Values(world))
		slices.SortFunc(objects, func(a, b Object) int { return compareKeys(a.Ref.Key, b.Ref.Key) })
		empty := NewBuilder(testDomain)
		empty.Deny(*last.Denied)
		fresh, _, problems := empty.Apply(Update{Upserts: rapid.Permutation(objects).Draw(t, "order")})
		checkSame(t, fresh, last)
		if got := b.report.all(b.objects); !slices.Equal(got, problems) {
			t.Fatalf("problems depend on the history:\n%v\n%v", got, problems)
		}
		checkShared(t, last)
	})
}

// drawUpdate draws a few upserts and deletes and follows them in world.
func drawUpdate(t *rapid.T, world map[Ref]Object) Update {
	var u Update
	refs := slices.Collect(maps.Keys(world))
	slices.SortFunc(refs, func(a, b Ref) int {
		return slices.Compare([]string{a.Kind, a.Namespace, a.Name}, []string{b.Kind, b.Namespace, b.Name})
	})
	for _, ref := range refs {
		if rapid.IntRange(0, 5).Draw(t, "delete") == 0 {
			u.Deletes = append(u.Deletes, ref)
			delete(world, ref)
		}
	}
	for range rapid.IntRange(0, 8).Draw(t, "upserts") {
		o := drawObject(t)
		u.Upserts = append(u.Upserts, o)
		world[o.Ref.ID()] = o
	}
	return u
}

// drawDenied draws who is cut off, in any order and twice maybe.
func drawDenied(t *rapid.T) Denied {
	ids := []string{"spiffe://cluster.local/ns/vm/sa/a", "spiffe://cluster.local/ns/shop/sa/default", "spiffe://other.org/x", "no ID"}
	for _, ns := range someNamespaces {
		for _, name := range someNames {
			ids = append(ids, spiffe(ns, name).String())
		}
	}
	return Denied{
		Digests:    rapid.SliceOfN(rapid.SampledFrom([]string{"aa", "bb"}), 0, 3).Draw(t, "digests"),
		Identities: rapid.SliceOfN(rapid.SampledFrom(ids), 0, 5).Draw(t, "identities"),
	}
}

// fataler is the part of testing.T and rapid.T that the checks need.
type fataler interface{ Fatalf(string, ...any) }

func checkSame(t fataler, want, got *Snapshot) {
	changes := compareSnapshots(want, got)
	if !changes.Empty() {
		t.Fatalf("the pictures differ in %+v", changes)
	}
}

func checkChanges(t fataler, last, next *Snapshot, got ChangeSet) {
	if want := compareSnapshots(last, next); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("change set\n got %+v\nwant %+v", got, want)
	}
	if got.Empty() != (last == next) {
		t.Fatalf("an empty change set and the same snapshot must go together")
	}
}

// checkShared: equal inbound sides are one pointer.
func checkShared(t fataler, s *Snapshot) {
	for k, a := range s.Workloads {
		for l, b := range s.Workloads {
			if (a.Inbound == b.Inbound) != reflect.DeepEqual(a.Inbound, b.Inbound) {
				t.Fatalf("inbound sides of %v and %v: pointers and contents do not agree", k, l)
			}
		}
	}
	for host := range s.Services {
		if s.Endpoints[host] == nil {
			t.Fatalf("service %s has no endpoint set", host)
		}
	}
}

// compareSnapshots is the change set by brute force.
func compareSnapshots(a, b *Snapshot) ChangeSet {
	ports := differing(a.Ports, b.Ports, func(x, y []string) bool { return slices.Equal(x, y) })
	c := ChangeSet{
		Services:  differing(a.Services, b.Services, deepEqual),
		Endpoints: differing(a.Endpoints, b.Endpoints, func(x, y *EndpointSet) bool { return x != nil && y != nil && deepEqual(x.Ports, y.Ports) }),
		Accounts:  differing(a.Endpoints, b.Endpoints, func(x, y *EndpointSet) bool { return x != nil && y != nil && deepEqual(x.Accounts, y.Accounts) }),
		Routes: differing(a.Routes, b.Routes, func(x, y []*VirtualService) bool {
			return slices.EqualFunc(x, y, func(v, w *VirtualService) bool {
				return v.Ref == w.Ref && slices.Equal(v.ExportTo, w.ExportTo) && proto.Equal(v.Spec, w.Spec)
			})
		}),
		DestinationRules: differing(a.DestinationRules, b.DestinationRules, func(x, y []*DestinationRule) bool {
			return slices.EqualFunc(x, y, func(v, w *DestinationRule) bool {
				return v.Ref == w.Ref && v.Host == w.Host && slices.Equal(v.ExportTo, w.ExportTo) && proto.Equal(v.Spec, w.Spec)
			})
		}),
		Workloads:       differing(a.Workloads, b.Workloads, deepEqual),
		Namespaces:      differing(a.Namespaces, b.Namespaces, deepEqual),
		ServiceAccounts: differing(a.Accounts, b.Accounts, deepEqual),
		Config:          *a.Config != *b.Config,
		Denied:          !reflect.DeepEqual(a.Denied, b.Denied),
	}
	addresses := differing(a.Addresses, b.Addresses, func(x, y []string) bool { return slices.Equal(x, y) })
	if len(ports)+len(addresses) > 0 && len(c.Services) == 0 {
		panic(fmt.Sprintf("ports %v or addresses %v changed without a service", ports, addresses))
	}
	return c
}

func deepEqual[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

func differing[K comparable, V any](a, b map[K]V, same func(x, y V) bool) Set[K] {
	out := Set[K]{}
	for k, x := range a {
		if y, ok := b[k]; !ok || !same(x, y) {
			out.Add(k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out.Add(k)
		}
	}
	return out
}
