package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
)

// slow is a stream whose request never arrives; its reads end with the test.
type slow struct {
	silent
	end <-chan struct{}
}

func (s slow) RecvMsg(any) error {
	<-s.end
	return context.Canceled
}

func TestARequestThatDoesNotArriveIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		proof, want time.Duration
	}{
		"in time":      {time.Hour, readWithin},
		"with a proof": {time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				gate, _ := newGate(verdict{caller: identity.Caller{Expires: begun.Add(c.proof)}})
				handler := streamed(grpc.MethodDesc{Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
					return nil, read(nil)
				}})
				end := make(chan struct{})
				defer close(end)
				err := gate.Stream(nil, slow{silent{ctx: t.Context()}, end}, &grpc.StreamServerInfo{}, handler)
				if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) != c.want {
					t.Errorf("%v after %v, want DeadlineExceeded after %v", err, time.Since(begun), c.want)
				}
			})
		})
	}
}

func TestEveryMethodIsAStreamBehindTheGate(t *testing.T) {
	original := &grpc.ServiceDesc{
		ServiceName: "a.B",
		Methods:     []grpc.MethodDesc{{MethodName: "One"}},
		Streams:     []grpc.StreamDesc{{StreamName: "Two", ClientStreams: true}},
	}
	got := gated(original)
	if len(got.Methods) != 0 || len(got.Streams) != 2 || got.Streams[1].StreamName != "One" {
		t.Fatalf("%+v", got)
	}
	for _, stream := range got.Streams {
		if !stream.ClientStreams && !stream.ServerStreams {
			t.Errorf("gRPC calls no stream interceptor for %s", stream.StreamName)
		}
	}
	if len(original.Methods) != 1 || len(original.Streams) != 1 {
		t.Error("the generated description was changed")
	}
}
