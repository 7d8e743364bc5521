package connections

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

type tree = map[string]any

// proxy is a real Envoy whose listeners log as those of the mesh do: of clients
// over mTLS on the ports http, tcp and silent (which gets its upstream with the
// first byte), and of servers that plain clients reach through toHTTP and toTCP.
type proxy struct {
	*sdstest.Authority
	pid                              int
	http, tcp, silent, toHTTP, toTCP string
	admin, log                       string
	stopLog                          func()
	roots                            []*x509.Certificate
}

const webID = "spiffe://td/ns/shop/sa/web"

// startProxy starts one that trusts its own root and others; of the backends, by name, app (HTTP) and echo are its
// applications, and it calls http-server and tcp-server over mTLS.
func startProxy(t testing.TB, table *Table, roots []*x509.Certificate, backends map[string]string) *proxy {
	t.Helper()
	binary, dir := need.Envoy(t), t.TempDir()
	p := &proxy{Authority: sdstest.New(t), roots: roots, log: filepath.Join(dir, "log.sock")}
	p.serveLog(t, table)
	for _, address := range []*string{&p.http, &p.tcp, &p.silent, &p.toHTTP, &p.toTCP, &p.admin} {
		*address = need.Address(t)
	}
	config := filepath.Join(dir, "envoy.json")
	text, err := json.Marshal(p.config(t, dir, backends))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, text)
	cmd := exec.Command(binary, "-c", config, "--disable-hot-restart", "--concurrency", "2", "-l", "warning")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p.pid = cmd.Process.Pid
	eventually(t, "Envoy is live", func() bool {
		answer, err := http.Get("http://" + p.admin + "/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}

// serveLog takes Envoy's log into a table until stopLog is called.
func (p *proxy) serveLog(t testing.TB, table *Table) {
	t.Helper()
	listener, err := net.Listen("unix", p.log)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(MaxMessage))
	table.Register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	p.stopLog = server.Stop
}

func (p *proxy) config(t testing.TB, dir string, backends map[string]string) tree {
	own := p.TLS(t, sdstest.Leaf(webID, time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) tree {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(text))
		return tree{"filename": path}
	}
	common := tree{
		"tls_certificates": []tree{{
			"certificate_chain": file("chain.pem", sdstest.PEM(own.Leaf, p.Issuer)),
			"private_key":       file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))),
		}},
		"alpn_protocols":     []string{"h2", "http/1.1"},
		"validation_context": tree{"trusted_ca": file("roots.pem", sdstest.PEM(append(p.roots, p.Root)...))},
	}
	downstream := socketTLS("Downstream", tree{"common_tls_context": common, "require_client_certificate": true})
	upstream := socketTLS("Upstream", tree{"common_tls_context": tree{
		"tls_certificates": common["tls_certificates"], "validation_context": common["validation_context"],
	}, "max_session_keys": 0})
	return tree{
		"admin": tree{"address": address(p.admin)},
		"static_resources": tree{
			"listeners": []tree{
				listener("in-http", p.http, downstream, hcm("app", httpLog("inbound-http"), nil)),
				listener("in-tcp", p.tcp, downstream, tcpProxy("echo", "ON_DOWNSTREAM_TLS_HANDSHAKE", "inbound-tcp")),
				listener("in-silent", p.silent, downstream, tcpProxy("echo", "ON_DOWNSTREAM_DATA", "inbound-tcp")),
				listener("out-http", p.toHTTP, nil, hcm("http-server", nil, httpLog("outbound-http"))),
				listener("out-tcp", p.toTCP, nil, tcpProxy("tcp-server", "", "outbound-tcp")),
			},
			"clusters": []tree{
				cluster("app", backends["app"], nil), cluster("echo", backends["echo"], nil),
				cluster("http-server", backends["http-server"], upstream), cluster("tcp-server", backends["tcp-server"], upstream),
				logCluster(p.log),
			},
		},
	}
}

func socketTLS(side string, context tree) tree {
	context["@type"] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3." + side + "TlsContext"
	return tree{"name": "tls", "typed_config": context}
}

func address(hostPort string) tree {
	host, port, _ := net.SplitHostPort(hostPort)
	number, _ := strconv.Atoi(port)
	return tree{"socket_address": tree{"address": host, "port_value": number}}
}

func listener(name, at string, tls, filter tree) tree {
	chain := tree{"filters": []tree{filter}}
	if tls != nil {
		chain["transport_socket"] = tls
	}
	return tree{"name": name, "address": address(at), "filter_chains": []tree{chain}}
}

func cluster(name, at string, tls tree) tree {
	c := tree{
		"name": name, "type": "STATIC", "connect_timeout": "1s",
		"load_assignment": tree{"cluster_name": name, "endpoints": []tree{{"lb_endpoints": []tree{{"endpoint": tree{"address": address(at)}}}}}},
	}
	if tls != nil {
		c["transport_socket"] = tls
	}
	return c
}

func logCluster(socket string) tree {
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return tree{
		"name": "als-grpc", "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": tree{options: tree{
			"@type": "type.googleapis.com/" + options, "explicit_http_config": tree{"http2_protocol_options": tree{}},
		}},
		"load_assignment": tree{"cluster_name": "als-grpc", "endpoints": []tree{{"lb_endpoints": []tree{{
			"endpoint": tree{"address": tree{"pipe": tree{"path": socket}}},
		}}}}},
	}
}

func hcm(to string, accessLog, upstreamLog tree) tree {
	const base = "type.googleapis.com/envoy.extensions.filters."
	router := tree{"@type": base + "http.router.v3.Router"}
	m := tree{
		"@type": base + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": to,
		"codec_type": "AUTO", "use_remote_address": false, "stream_idle_timeout": "0s",
		"route_config": tree{"virtual_hosts": []tree{{
			"name": "all", "domains": []string{"*"},
			"routes": []tree{{"match": tree{"prefix": "/"}, "route": tree{"cluster": to, "timeout": "0s"}}},
		}}},
		"http_filters": []tree{{"name": "router", "typed_config": router}},
	}
	if accessLog != nil {
		m["access_log"] = []tree{accessLog}
		m["access_log_options"] = tree{"flush_access_log_on_new_request": true, "access_log_flush_interval": "10s"}
	}
	if upstreamLog != nil {
		router["upstream_log"] = []tree{upstreamLog}
		router["upstream_log_options"] = tree{"flush_upstream_log_on_upstream_stream": true, "upstream_log_flush_interval": "10s"}
	}
	return tree{"name": "hcm", "typed_config": m}
}

func tcpProxy(to, mode, name string) tree {
	m := tree{
		"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": to, "cluster": to,
		"access_log":         []tree{accessLog("tcp_grpc", "TcpGrpcAccessLogConfig", name)},
		"access_log_options": tree{"flush_access_log_on_connected": true, "access_log_flush_interval": "10s"},
	}
	if mode != "" {
		m["upstream_connect_mode"], m["max_early_data_bytes"] = mode, 0
	}
	if mode == "ON_DOWNSTREAM_DATA" {
		m["access_log_options"] = tree{"flush_access_log_on_connected": true, "access_log_flush_interval": "1s"}
	}
	return tree{"name": "tcp", "typed_config": m}
}

func httpLog(name string) tree { return accessLog("http_grpc", "HttpGrpcAccessLogConfig", name) }

func accessLog(kind, config, name string) tree {
	tags := map[string]string{
		"conn": "%UPSTREAM_CONNECTION_ID%", "peer_uri": "%UPSTREAM_PEER_URI_SAN%", "peer_issuer": "%UPSTREAM_PEER_ISSUER%",
		"peer_start": "%UPSTREAM_PEER_CERT_V_START%", "peer_end": "%UPSTREAM_PEER_CERT_V_END%",
		"peer_fp": "%CEL(upstream.sha256_peer_certificate_digest)%",
	}
	if name[:2] == "in" {
		tags = map[string]string{
			"conn": "%CONNECTION_ID%", "local": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
			"peer_uri": "%DOWNSTREAM_PEER_URI_SAN%", "peer_serial": "%DOWNSTREAM_PEER_SERIAL%",
			"peer_fp": "%DOWNSTREAM_PEER_FINGERPRINT_256%", "peer_issuer": "%DOWNSTREAM_PEER_ISSUER%",
			"peer_start": "%DOWNSTREAM_PEER_CERT_V_START%", "peer_end": "%DOWNSTREAM_PEER_CERT_V_END%",
		}
	}
	var custom []tree
	for tag, value := range tags {
		custom = append(custom, tree{"tag": tag, "value": value})
	}
	types := map[string][]string{
		LogInboundHTTP: {"DownstreamStart", "DownstreamPeriodic"}, LogOutboundHTTP: {"UpstreamPoolReady", "UpstreamPeriodic"},
		LogInboundTCP: {"TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionEnd"},
	}
	types[LogOutboundTCP] = types[LogInboundTCP]
	const base = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3."
	filter := tree{"log_type_filter": tree{"types": types[name]}}
	return tree{"name": kind, "filter": filter, "typed_config": tree{"@type": base + config, "common_config": tree{
		"log_name": name, "transport_api_version": "V3", "buffer_flush_interval": "0.05s", "custom_tags": custom,
		"grpc_service": tree{"envoy_grpc": tree{"cluster_name": "als-grpc"}},
	}}}
}
