package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
)

const typePrefix = "type.googleapis.com/envoy.config."

const (
	clusterType     = typePrefix + "cluster.v3.Cluster"
	endpointType    = typePrefix + "endpoint.v3.ClusterLoadAssignment"
	listenerType    = typePrefix + "listener.v3.Listener"
	routeType       = typePrefix + "route.v3.RouteConfiguration"
	virtualHostType = typePrefix + "route.v3.VirtualHost"
	extensionType   = typePrefix + "core.v3.TypedExtensionConfig"
)

// envoy is one simulated Envoy. Its own goroutine owns it while a stream is open.
type envoy struct {
	fleet  *fleet
	node   *corev3.Node
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	done   chan struct{}

	versions map[string]map[string]string   // by type, by name
	names    map[string]map[string]struct{} // subscriptions by type; a wildcard has none
	asked    map[string]bool
	first    bool // the next message is the first of the stream
}

func newEnvoy(f *fleet, e enrolment, m member) (*envoy, error) {
	root, err := x509.ParseCertificate(e.Root)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(m.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	conn, err := grpc.NewClient(e.Address, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{m.Certificate}, PrivateKey: key}},
	})))
	if err != nil {
		return nil, err
	}
	return &envoy{fleet: f, conn: conn, node: &corev3.Node{
		Id: m.Node, UserAgentName: "envoy",
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40}}},
	}}, nil
}

// connect opens the stream; fresh as a process that just started, else with the
// subscriptions and versions that it had.
func (e *envoy) connect(ctx context.Context, fresh bool) error {
	if fresh {
		e.versions, e.names, e.asked = map[string]map[string]string{}, map[string]map[string]struct{}{}, map[string]bool{}
	}
	e.conn.Connect()
	ctx, e.cancel = context.WithCancel(ctx)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(e.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	e.first = true
	e.done = make(chan struct{})
	if fresh {
		err = e.subscribe(stream, clusterType)
	} else {
		err = e.again(stream)
	}
	go func() {
		defer close(e.done)
		for err == nil {
			var r *discoveryv3.DeltaDiscoveryResponse
			if r, err = stream.Recv(); err == nil {
				err = e.take(stream, r)
			}
		}
		if ctx.Err() == nil {
			e.fleet.fail(err)
		}
	}()
	return err
}

func (e *envoy) disconnect() {
	e.cancel()
	<-e.done
}

type deltaStream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

// again subscribes to everything that was subscribed, with its versions.
func (e *envoy) again(stream deltaStream) error {
	for _, url := range []string{clusterType, endpointType, listenerType, extensionType, routeType, virtualHostType} {
		if !e.asked[url] {
			continue
		}
		r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, InitialResourceVersions: e.versions[url]}
		for name := range e.names[url] {
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, name)
		}
		if err := e.say(stream, r); err != nil {
			return err
		}
	}
	e.fleet.lastAck.Store(time.Now().UnixNano())
	return nil
}

func (e *envoy) say(stream deltaStream, r *discoveryv3.DeltaDiscoveryRequest) error {
	if e.first {
		r.Node, e.first = e.node, false
	}
	return stream.Send(r)
}

// subscribe asks for names that are not asked for yet; without names for all.
func (e *envoy) subscribe(stream deltaStream, url string, names ...string) error {
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: url}
	if e.names[url] == nil {
		e.names[url] = map[string]struct{}{}
	}
	for _, name := range names {
		if _, ok := e.names[url][name]; !ok {
			e.names[url][name] = struct{}{}
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, name)
		}
	}
	if e.asked[url] && len(r.ResourceNamesSubscribe) == 0 || len(names) == 0 && !wildcard(url) {
		return nil
	}
	e.asked[url] = true
	return e.say(stream, r)
}

func wildcard(url string) bool {
	return url == clusterType || url == listenerType || url == virtualHostType
}

// take applies and acknowledges a response, and asks for what it names.
func (e *envoy) take(stream deltaStream, r *discoveryv3.DeltaDiscoveryResponse) error {
	if e.versions[r.TypeUrl] == nil {
		e.versions[r.TypeUrl] = map[string]string{}
	}
	var routes, filters, endpoints []string
	for _, res := range r.Resources {
		e.versions[r.TypeUrl][res.Name] = res.Version
		switch {
		case r.TypeUrl == clusterType && strings.HasPrefix(res.Name, "outbound|"):
			endpoints = append(endpoints, res.Name)
		case r.TypeUrl == listenerType:
			if err := references(res.Resource.GetValue(), &routes, &filters); err != nil {
				return err
			}
		}
	}
	for _, name := range r.RemovedResources {
		delete(e.versions[r.TypeUrl], name)
	}
	follow := []struct {
		url   string
		names []string
	}{{endpointType, endpoints}, {extensionType, filters}, {routeType, routes}}
	for _, f := range follow {
		if err := e.subscribe(stream, f.url, f.names...); err != nil {
			return err
		}
	}
	if err := e.say(stream, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}); err != nil {
		return err
	}
	e.note(r)
	return e.goOn(stream, r.TypeUrl)
}

// goOn asks for the next type of a first configuration.
func (e *envoy) goOn(stream deltaStream, url string) error {
	switch url {
	case endpointType:
		return e.subscribe(stream, listenerType)
	case routeType:
		return e.subscribe(stream, virtualHostType)
	default:
		return nil
	}
}

func (e *envoy) note(r *discoveryv3.DeltaDiscoveryResponse) {
	e.fleet.resources.Add(int64(len(r.Resources) + len(r.RemovedResources)))
	e.fleet.bytes.Add(int64(proto.Size(r)) + 5) // and gRPC's prefix
	e.fleet.lastAck.Store(time.Now().UnixNano())
	e.fleet.responses.Add(1)
}

// references collects what a listener names: routes and filters that come by
// themselves.
func references(listener []byte, routes, filters *[]string) error {
	var l listenerv3.Listener
	if err := proto.Unmarshal(listener, &l); err != nil {
		return fmt.Errorf("reading a listener: %w", err)
	}
	chains := l.FilterChains
	if l.DefaultFilterChain != nil {
		chains = append(chains, l.DefaultFilterChain)
	}
	for _, chain := range chains {
		for _, filter := range chain.Filters {
			if filter.GetConfigDiscovery() != nil {
				*filters = append(*filters, filter.Name)
			}
			var manager hcmv3.HttpConnectionManager
			if packed := filter.GetTypedConfig(); packed == nil || packed.UnmarshalTo(&manager) != nil {
				continue
			}
			if name := manager.GetRds().GetRouteConfigName(); name != "" {
				*routes = append(*routes, name)
			}
			for _, f := range manager.HttpFilters {
				if f.GetConfigDiscovery() != nil {
					*filters = append(*filters, f.Name)
				}
			}
		}
	}
	return nil
}
