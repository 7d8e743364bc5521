package build

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/mesh"
)

// An hour is long for a test: the bounds that are there are made this short.
const shortLife = 700 * time.Millisecond

// shorten makes the bounds of a filter short; where there is none it adds none.
func shorten(filter *listenerv3.Filter) {
	short := func(d **durationpb.Duration) {
		if *d != nil {
			*d = durationpb.New(shortLife)
		}
	}
	var proxy tcpv3.TcpProxy
	var manager hcmv3.HttpConnectionManager
	switch {
	case filter.GetTypedConfig().UnmarshalTo(&proxy) == nil:
		short(&proxy.MaxDownstreamConnectionDuration)
		filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed(&proxy)}
	case filter.GetTypedConfig().UnmarshalTo(&manager) == nil:
		options := manager.GetCommonHttpProtocolOptions()
		if options == nil {
			options = &corev3.HttpProtocolOptions{}
		}
		short(&options.MaxConnectionDuration)
		short(&options.MaxStreamDuration)
		manager.CommonHttpProtocolOptions, manager.DrainTimeout = options, durationpb.New(shortLife)
		filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed(&manager)}
	}
}

// endless is an application whose answer never ends.
func endless(t testing.TB) uint32 {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begun\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(app.Close)
	return uint32(app.Listener.Addr().(*net.TCPAddr).Port)
}

// Nothing with mTLS lives for ever: no TCP connection, no idle HTTP connection,
// no request. Plaintext has no certificate to outlive.
func TestLivesAreBounded(t *testing.T) {
	tcp, web, stream := talker(t), application(t), endless(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{
			{Number: tcp, Protocol: mesh.TCP, ServicePort: 80}, {Number: web, Protocol: mesh.HTTP, ServicePort: 81},
			{Number: stream, Protocol: mesh.HTTP, ServicePort: 82},
		},
	}, shorten)
	for name, c := range map[string]struct {
		port  uint32
		speak string
	}{
		"TCP":                {tcp, "ping\n"},
		"an idle connection": {web, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"},
		"an endless answer":  {stream, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proven, plain := s.open(t, c.port, s.as(aliceID, "istio", "http/1.1")), s.open(t, c.port, nil)
			// The one with mTLS first: a handshake that begins after the inspection's
			// timeout is taken for plaintext.
			for _, l := range []*line{proven, plain} {
				fmt.Fprint(l, c.speak)
				l.SetDeadline(time.Now().Add(6 * shortLife))
				text, err := io.ReadAll(l)
				if want := l == proven; len(text) == 0 || (err == nil) != want {
					t.Errorf("mTLS %v: %q, ended %v", want, text, err)
				}
			}
		})
	}
}
