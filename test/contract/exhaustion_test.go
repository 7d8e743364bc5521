package contract

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	istioca "istio.io/api/security/v1alpha1"
)

// TestAStrangerIsRefusedBeforeItsRequest opens every unary method without a
// proof and sends nothing: who would wait for the request would keep it in memory.
func TestAStrangerIsRefusedBeforeItsRequest(t *testing.T) {
	e := start(t)
	for _, method := range []string{istioca.IstioCertificateService_CreateCertificate_FullMethodName, "/ensign.v1.AdminService/CreateToken"} {
		for name, proof := range map[string]func(context.Context) context.Context{
			"nothing": func(ctx context.Context) context.Context { return ctx },
			"garbage": func(ctx context.Context) context.Context { return with(ctx, "garbage") },
		} {
			t.Run(name+method, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(proof(t.Context()), 3*time.Second)
				defer cancel()
				stream, err := e.dial().NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.RecvMsg(&istioca.IstioCertificateResponse{}); status.Code(err) != codes.Unauthenticated {
					t.Errorf("%v, want Unauthenticated at once", err)
				}
			})
		}
	}
}

// TestConnectionsAreCounted: those of strangers too, from their first byte on.
func TestConnectionsAreCounted(t *testing.T) {
	e := start(t)
	conns := make([]net.Conn, 3)
	for i := range conns {
		conn, err := net.Dial("tcp", e.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	e.waitMetric("ensign_edge_connections 3")
	e.waitMetric(`ensign_edge_connections_refused_total{reason="address"} 0`)
	for _, conn := range conns {
		conn.Close()
	}
	e.waitMetric("ensign_edge_connections 0")
}

// waitMetric waits for a line of the metrics.
func (e *ensignd) waitMetric(line string) {
	e.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get("http://" + e.metrics + "/metrics")
		if err != nil {
			e.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			e.t.Fatal(err)
		}
		if strings.Contains(string(text), "\n"+line+"\n") {
			return
		}
	}
	e.t.Errorf("no metric %q", line)
}
