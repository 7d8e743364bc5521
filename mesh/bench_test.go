package mesh

import (
	"fmt"
	"testing"

	security "istio.io/api/security/v1beta1"
)

// largeMesh is 1,000 services in 20 namespaces with 2 to 5 pods each, strict
// mTLS, a policy a service.
func largeMesh() []Object {
	objects := []Object{peerObject(newPeer(defaultRootNamespace, "default", security.PeerAuthentication_MutualTLS_STRICT, nil))}
	for i := range 1000 {
		ns, name := fmt.Sprintf("ns-%d", i%20), fmt.Sprintf("svc-%d", i)
		service := newService(ns, name, name)
		service.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", i/250, i%250+1)
		objects = append(objects, serviceObject(service), policyObject(largePolicy(i, "web")))
		var ips []string
		for j := range 2 + i%4 {
			ip := fmt.Sprintf("10.%d.%d.%d", i/250, i%250, j+1)
			ips = append(ips, ip)
			objects = append(objects, podObject(newPod(ns, fmt.Sprintf("%s-%d", name, j), ip, name, map[string]string{"app": name})))
		}
		objects = append(objects, sliceObject(newSlice(ns, name, ips...)))
	}
	return objects
}

func benchmarkChange(b *testing.B, change func(i int) Update) {
	builder := NewBuilder(testDomain)
	builder.Apply(Update{Upserts: largeMesh()})
	i := 0
	for b.Loop() {
		if _, changes, _ := builder.Apply(change(i)); changes.Empty() {
			b.Fatal("nothing changed")
		}
		i++
	}
}

func BenchmarkApplyAll(b *testing.B) {
	objects := largeMesh()
	for b.Loop() {
		NewBuilder(testDomain).Apply(Update{Upserts: objects})
	}
}

func BenchmarkApplyOneEndpoint(b *testing.B) {
	benchmarkChange(b, func(i int) Update {
		return Update{Upserts: []Object{sliceObject(newSlice("ns-7", "svc-7", "10.0.7.1", fmt.Sprintf("10.0.7.%d", 2+i%2)))}}
	})
}

func BenchmarkApplyOnePolicy(b *testing.B) {
	benchmarkChange(b, func(i int) Update {
		return Update{Upserts: []Object{policyObject(largePolicy(7, fmt.Sprintf("web-%d", i)))}}
	})
}

func BenchmarkApplyMeshWidePolicy(b *testing.B) {
	benchmarkChange(b, func(i int) Update {
		return Update{Upserts: []Object{policyObject(newPolicy(defaultRootNamespace, "all", security.AuthorizationPolicy_ALLOW,
			fromPrincipal(fmt.Sprintf("cluster.local/ns/shop/sa/web-%d", i))))}}
	})
}
