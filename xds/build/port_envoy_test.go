package build

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/ensign-mesh/ensign/test/meshgen"
)

// outside stands in for PassthroughCluster, whose way leads out of the machine.
func outside(address *net.TCPAddr) Resource {
	return clusterResource(&clusterv3.Cluster{
		Name: passthroughCluster, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: passthroughCluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: socketAddress("127.0.0.1", uint32(address.Port))},
			}}},
		}}},
	})
}

// A service whose port is called HTTP does not break TLS on that number for
// everything else, nor does looking for TLS hold a plain request up.
func TestTLSPassesAnHTTPPort(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(server.Close)
	v1, v2 := startBackend(t, "v1"), startBackend(t, "v2")
	c := startClient(t, meshgen.Load(t, twoVersions(v1, v2)), outside(server.Listener.Addr().(*net.TCPAddr)))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}}
	resp, err := client.Get("https://127.0.0.1:" + c.ports["0.0.0.0_80"])
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot {
		t.Errorf("over TLS: %s", resp.Status)
	}
	start := time.Now()
	if a := c.ask(t, "GET", web, "/"); a.status != http.StatusOK || time.Since(start) > 10*time.Second { // Envoy gives up inspecting after 15 s
		t.Errorf("plain: %d after %v", a.status, time.Since(start))
	}
}

// However a client writes a service's name, it does not leave the mesh by it.
func TestAnyWritingOfAHostIsTheService(t *testing.T) {
	stranger := startBackend(t, "stranger")
	v1, v2 := startBackend(t, "v1"), startBackend(t, "v2")
	c := startClient(t, meshgen.Load(t, twoVersions(v1, v2)), outside(&net.TCPAddr{Port: stranger.port}))
	for _, host := range []string{web, web + ":80", web + ":9999", web + ".", web + ".:80", web + ".:9999", "WEB.example.com"} {
		if a := c.ask(t, "GET", host, "/"); a.Backend != "v1" && a.Backend != "v2" {
			t.Errorf("%s: %d from %q", host, a.status, a.Backend)
		}
	}
	if a := c.ask(t, "GET", "other.example.com", "/"); a.Backend != "stranger" {
		t.Errorf("what is no service is answered by %q: the test shows nothing", a.Backend)
	}
}
