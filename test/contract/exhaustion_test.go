package contract

import (
	"context"
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
