package agent

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3" // read from JSON
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// echoServer is an application that sends back what it gets.
func echoServer(t testing.TB) *net.TCPAddr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	return listener.Addr().(*net.TCPAddr)
}

func fromJSON(t testing.TB, value tree, into proto.Message) *anypb.Any {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = protojson.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, into)
}

// loggedListener passes TCP over mutual TLS to the application and tells the agent
// of each connection, as the control plane's listeners do.
func loggedListener(t testing.TB, address string) *anypb.Any {
	t.Helper()
	var tags []tree
	for tag, value := range map[string]string{
		"conn": "%CONNECTION_ID%", "local": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", "peer_uri": "%DOWNSTREAM_PEER_URI_SAN%",
		"peer_serial": "%DOWNSTREAM_PEER_SERIAL%", "peer_fp": "%DOWNSTREAM_PEER_FINGERPRINT_256%", "peer_issuer": "%DOWNSTREAM_PEER_ISSUER%",
		"peer_start": "%DOWNSTREAM_PEER_CERT_V_START%", "peer_end": "%DOWNSTREAM_PEER_CERT_V_END%",
	} {
		tags = append(tags, tree{"tag": tag, "value": value})
	}
	const types = "type.googleapis.com/envoy.extensions."
	log := tree{"name": "envoy.access_loggers.tcp_grpc", "typed_config": tree{
		"@type": types + "access_loggers.grpc.v3.TcpGrpcAccessLogConfig", "common_config": tree{
			"log_name": "inbound-tcp", "transport_api_version": "V3", "buffer_flush_interval": "0.05s", "custom_tags": tags,
			"grpc_service": tree{"envoy_grpc": tree{"cluster_name": clusterLogs}},
		},
	}}
	proxy := tree{"name": "tcp", "typed_config": tree{
		"@type": types + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "app", "cluster": "app",
		"access_log": []tree{log}, "access_log_options": tree{"flush_access_log_on_connected": true, "access_log_flush_interval": "10s"},
		"upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "max_early_data_bytes": 0,
	}}
	var hello listenerv3.Listener
	if err := helloListener(t, address).UnmarshalTo(&hello); err != nil {
		t.Fatal(err)
	}
	hello.FilterChains[0].Filters = nil
	var chain listenerv3.FilterChain
	fromJSON(t, tree{"filters": []tree{proxy}}, &chain)
	hello.FilterChains[0].Filters = chain.GetFilters()
	return packed(t, &hello)
}

// serveLogged answers delta ADS with the logged listener and its application.
func serveLogged(t testing.TB, address string) func(deltaServer) error {
	app := echoServer(t)
	listener := loggedListener(t, address)
	cluster := fromJSON(t, tree{"name": "app", "type": "STATIC", "connect_timeout": "1s", "load_assignment": tree{
		"cluster_name": "app", "endpoints": []tree{{"lb_endpoints": []tree{{"endpoint": tree{"address": tree{
			"socket_address": tree{"address": "127.0.0.1", "port_value": app.Port},
		}}}}}},
	}}, &clusterv3.Cluster{})
	resources := map[string]*discoveryv3.Resource{
		typeListener: {Name: "hello", Version: "1", Resource: listener}, typeCluster: {Name: "app", Version: "1", Resource: cluster},
	}
	return func(stream deltaServer) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			if request.GetResponseNonce() != "" {
				continue
			}
			response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: request.GetTypeUrl(), Nonce: "1"}
			if r := resources[request.GetTypeUrl()]; r != nil && request.GetInitialResourceVersions()[r.GetName()] != "1" {
				response.Resources = []*discoveryv3.Resource{r}
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

// live is a connection that was used, and is silent now.
func live(t testing.TB, client tls.Certificate, address string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{client}, InsecureSkipVerify: true}) // hello verifies
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("hello"))); err != nil {
		t.Fatal(err)
	}
	return conn
}

// mustEnd waits for the end of a connection.
func mustEnd(t testing.TB, conn net.Conn, within time.Duration) {
	t.Helper()
	began := time.Now()
	conn.SetReadDeadline(began.Add(within))
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("the connection goes on after %s", within)
	}
	t.Logf("ended after %s", time.Since(began))
}

// TestWhoIsCutOffLosesItsLiveConnections: those of a revoked certificate end, and no
// others. The agent is killed in a quarantine, a new connection of that identity
// comes, and the next agent, with no control plane, ends it.
func TestWhoIsCutOffLosesItsLiveConnections(t *testing.T) {
	control, config, address := withEnvoy(t)
	control.ads = serveLogged(t, address)
	var logs logBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logs.String())
		}
	})
	cmd := startBinary(t, config, &logs)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	pid := recorded(config)
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	load, thief := startTraffic(t, control, address), newThief(t, control, address)
	stolen := live(t, thief.client, address)
	next(t, "sighting of the thief", control.sightings, func(s *ensignv1.Sightings) bool {
		for _, met := range s.GetSightings() {
			if met.GetSerial() == thief.client.Leaf.SerialNumber.Text(16) {
				return true
			}
		}
		return false
	})
	print := sha256.Sum256(thief.client.Leaf.Raw)
	control.cutOffs <- &ensignv1.CutOff{Revision: 1, Certificates: []*ensignv1.CutCertificate{{Fingerprint: hex.EncodeToString(print[:])}}}
	mustEnd(t, stolen, 20*time.Second)
	told := next(t, "report that it is obeyed", control.reports, func(r *ensignv1.Report) bool { return r.GetObedience().GetRevision() == 1 })
	if o := told.GetObedience(); o.GetCut() != 1 || o.GetOpen() != 0 || o.GetError() != "" {
		t.Errorf("%v", o)
	}

	bad := control.authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/bad", time.Hour))
	control.cutOffs <- &ensignv1.CutOff{Revision: 2, Identities: []string{"spiffe://cluster.local/ns/shop/sa/bad"}}
	next(t, "report that it is obeyed", control.reports, func(r *ensignv1.Report) bool { return r.GetObedience().GetRevision() == 2 })
	cmd.Process.Kill()
	cmd.Wait()
	control.server.Stop()
	late := live(t, bad, address)
	startAgent(t, config)
	mustEnd(t, late, 20*time.Second)
	load.end(t)
}
