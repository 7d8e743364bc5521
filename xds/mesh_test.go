package xds

import (
	"fmt"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
	security "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/ensign-mesh/ensign/mesh"
)

// The tests here stand on the real mesh and the real resources.

const (
	dbHost    = "db.bank.svc.cluster.local"
	dbCluster = "outbound|80||" + dbHost
)

type realMesh struct {
	*world
	builder *mesh.Builder
}

// newRealMesh has the service db in bank, whose pod runs as db, and a client in
// each namespace.
func newRealMesh(t testing.TB) *realMesh {
	m := &realMesh{world: newWorld(t), builder: mesh.NewBuilder(trustDomain)}
	m.server.catalog.make = fromBuild
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "db"}}
	service.Spec.ClusterIP = "10.96.0.1"
	service.Spec.Selector = map[string]string{"app": "db"}
	service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}
	objects := []mesh.Object{object(mesh.KindService, service)}
	for _, ns := range []string{"shop", "bank"} {
		objects = append(objects, object(mesh.KindNamespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
		for _, sa := range []string{"web", "db", "db2"} {
			objects = append(objects, object(mesh.KindServiceAccount, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: sa}}))
		}
		objects = append(objects, pod(ns, "web-1", "10.0.0.1", "web", "web"))
	}
	m.apply(append(objects, pod("bank", "db-1", "10.0.0.2", "db", "db"), slice("10.0.0.2"))...)
	return m
}

func object[T metav1.Object](kind string, o T) mesh.Object {
	return mesh.Object{Ref: mesh.Ref{Kind: kind, Key: mesh.Key{Namespace: o.GetNamespace(), Name: o.GetName()}}, Value: o}
}

func pod(ns, name, ip, sa, app string) mesh.Object {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": app, "security.istio.io/tlsMode": "istio"}}}
	p.Spec.ServiceAccountName = sa
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip}
	return object(mesh.KindPod, p)
}

func slice(ips ...string) mesh.Object {
	name, port := "http", int32(8080)
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "db", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}}}
	s.AddressType = discoveryv1.AddressTypeIPv4
	s.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port}}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	return object(mesh.KindEndpointSlice, s)
}

func (m *realMesh) apply(objects ...mesh.Object) {
	m.t.Helper()
	snap, changes, problems := m.builder.Apply(mesh.Update{Upserts: objects})
	if len(problems) > 0 {
		m.t.Fatalf("problems: %+v", problems)
	}
	m.server.Update(snap, changes)
}

// follow takes everything until the server is silent, as Envoy does, and answers
// what came, by kind, in order.
func (e *envoy) follow() (came []*deltaResponse) {
	e.t.Helper()
	for {
		e.settle()
		select {
		case r := <-e.responses:
			came = append(came, r)
			e.ack(r)
		default:
			return came
		}
	}
}

// everything subscribes to all that a sidecar of these tests needs.
func (e *envoy) everything() {
	e.t.Helper()
	e.ask(cluster)
	e.follow()
	e.ask(endpoint, dbCluster)
	e.ask(listener)
	e.ask(extension, "*")
	e.ask(route, "80")
	e.follow()
	e.ask(virtualHost)
	e.follow()
}

// accepted are the URI SANs that a sent cluster accepts.
func accepted(t testing.TB, r *deltaResponse) (ids []string) {
	t.Helper()
	for _, res := range r.Resources {
		if res.Name != dbCluster {
			continue
		}
		var c clusterv3.Cluster
		unpack(t, res.Resource.Value, &c)
		var sockets []*anypb.Any
		if s := c.GetTransportSocket().GetTypedConfig(); s != nil {
			sockets = append(sockets, s)
		}
		for _, match := range c.TransportSocketMatches {
			sockets = append(sockets, match.GetTransportSocket().GetTypedConfig())
		}
		for _, s := range sockets {
			var upstream tlsv3.UpstreamTlsContext
			if s.UnmarshalTo(&upstream) != nil {
				continue
			}
			for _, m := range upstream.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
				ids = append(ids, m.GetMatcher().GetExact())
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func TestRealMeshSharesOneEndpoint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		all := []*envoy{m.connect("shop", "web", "web-1"), m.connect("bank", "web", "web-1")}
		for _, e := range all {
			e.everything()
		}
		before := m.counter(m.server.metrics.encodes, "endpoint")
		m.apply(pod("bank", "db-2", "10.0.0.3", "db", "db"), slice("10.0.0.2", "10.0.0.3"))
		for _, e := range all {
			if came := e.follow(); len(came) != 1 || !slices.Equal(contents(came[0]), []string{dbCluster}) || came[0].TypeUrl != endpoint.url() {
				t.Errorf("for one more endpoint came %v", came)
			}
		}
		if n := m.counter(m.server.metrics.encodes, "endpoint") - before; n != 1 {
			t.Errorf("%d encodes of one endpoint set for two namespaces", n)
		}
	})
}

func TestRealMeshMovesIdentities(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		e := m.connect("shop", "web", "web-1")
		e.everything()
		m.apply(pod("bank", "db-1", "10.0.0.9", "db2", "db"), slice("10.0.0.9"))
		old, moved := account("bank", "db").String(), account("bank", "db2").String()
		var steps [][]string
		for _, r := range e.follow() {
			if r.TypeUrl == cluster.url() {
				steps = append(steps, accepted(t, r))
			}
		}
		if len(steps) != 2 || !slices.Equal(steps[0], []string{old, moved}) || !slices.Equal(steps[1], []string{moved}) {
			t.Errorf("the cluster accepted, step by step, %v", steps)
		}
	})
}

// The first policy guards the TCP ports too, which their chains must know; each
// one after it is filters alone.
func TestRealMeshSendsPolicyAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		e := m.connect("bank", "web", "web-1")
		e.everything()
		for i, want := range [][]string{{extension.url(), listener.url()}, {extension.url()}} {
			policy := &securityv1.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: fmt.Sprint("no", i)}}
			policy.Spec.Action = security.AuthorizationPolicy_DENY
			policy.Spec.Rules = []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{"/secret"}}}}}}
			m.apply(object(mesh.KindAuthorizationPolicy, policy))
			var came []string
			for _, r := range e.follow() {
				came = append(came, r.TypeUrl)
			}
			if !slices.Equal(came, want) {
				t.Errorf("for policy %d came %v, want %v", i, came, want)
			}
		}
	})
}
