package build

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// target is one outbound cluster to be: a port of a service, or a subset of it.
type target struct {
	service *mesh.Service
	port    mesh.ServicePort
	subset  *networking.Subset // nil: all endpoints
	tuning  tuning
	how     security
	ids     []string // accepted SPIFFE IDs, sorted
	origins []mesh.Ref
}

func (t target) name() string {
	return clusterName(t.port.Number, t.subset.GetName(), t.service.Host)
}

// targets are the clusters of a host in their order: by port, the whole before
// its subsets. Clusters and Endpoints both follow it.
func targets(s *mesh.Snapshot, sc Scope, host string) []target {
	svc := serviceIn(s, sc, host)
	if svc == nil {
		return nil
	}
	rules := rulingFor(s, sc, svc)
	origins := append(rules.origins, svc.Ref)
	var out []target
	for _, port := range svc.Ports {
		for _, subset := range append([]*networking.Subset{nil}, rules.subsets...) {
			t := target{service: svc, port: port, subset: subset, origins: origins, tuning: rules.tune(port.Number, subset)}
			t.how = securityOf(s, t.tuning.tls)
			t.ids = accepted(s, host, t.how, t.tuning.tls)
			out = append(out, t)
		}
	}
	return out
}

// Clusters are the outbound clusters of one host, outbound|PORT|SUBSET|HOST: one
// for each port and one more for each subset of it; nil when the host is no
// service or the scope must not see it.
//
// It reads Services[host], Endpoints[host].Accounts, the DestinationRules that
// cover the host (see [Covers]), of Denied whom these accept (see [Accepts]), and
// Config.
func Clusters(s *mesh.Snapshot, sc Scope, host string) []Resource {
	var out []Resource
	for _, t := range targets(s, sc, host) {
		out = append(out, Resource{TypeURL: TypeCluster, Name: t.name(), Message: t.cluster(), IDs: t.ids, Origins: t.origins})
	}
	return out
}

func (t target) cluster() *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                 t.name(),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: endpointSource(), ServiceName: t.name()},
	}
	t.balance(c)
	t.limit(c)
	t.speak(c)
	eject(c, t.tuning.outlier)
	secure(c, t.how, mutualTLS{ids: t.ids, serverName: t.serverName(), protocol: t.spoken()})
	return c
}

// maxServerName is how long Envoy lets an SNI be, in bytes.
const maxServerName = 255

// serverName is the SNI: the rule's own, else the cluster's, else, where that is
// too long, the host.
func (t target) serverName() string {
	if name := t.tuning.tls.GetSni(); name != "" && len(name) <= maxServerName && t.how == mutual {
		return name
	}
	if name := serverName(t.port.Number, t.subset.GetName(), t.service.Host); len(name) <= maxServerName {
		return name
	}
	return t.service.Host
}

// Widen is the same cluster accepting also the SPIFFE IDs in ids: the first
// step of make-before-break. A cluster without mTLS is returned unchanged.
func Widen(cluster Resource, ids []string) Resource {
	c, ok := cluster.Message.(*clusterv3.Cluster)
	if !ok || len(cluster.IDs) == 0 {
		return cluster // plaintext, or a cluster that refuses everybody and must go on doing so
	}
	wide := proto.Clone(c).(*clusterv3.Cluster)
	cluster.IDs = union(cluster.IDs, ids)
	if wide.TransportSocket != nil {
		wide.TransportSocket = widened(wide.TransportSocket, cluster.IDs)
	}
	for _, m := range wide.TransportSocketMatches {
		m.TransportSocket = widened(m.TransportSocket, cluster.IDs)
	}
	cluster.Message = wide
	return cluster
}
