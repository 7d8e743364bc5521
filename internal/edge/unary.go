package edge

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readWithin is how long the request of a unary RPC may take to arrive. The
// largest is a CSR of some KiB.
const readWithin = 10 * time.Second

// gated is the service with every unary method turned into a stream of one
// message each way, which is the same on the wire (gRPC over HTTP/2). gRPC reads
// a unary request before it asks an interceptor, so that anybody could fill the
// memory with requests; of a stream it reads only what the handler asks for.
//
// A tap handle (grpc.InTapHandle) would refuse early too, but a call that it
// refuses keeps its timer for as long as its grpc-timeout header says.
func gated(service *grpc.ServiceDesc) *grpc.ServiceDesc {
	changed := *service
	changed.Methods = nil
	changed.Streams = append([]grpc.StreamDesc(nil), service.Streams...)
	for _, method := range service.Methods {
		changed.Streams = append(changed.Streams, grpc.StreamDesc{
			StreamName: method.MethodName,
			Handler:    streamed(method),
			// With neither direction streaming, gRPC would pass the stream
			// interceptor by, and with it the gate.
			ServerStreams: true,
		})
	}
	return &changed
}

func streamed(method grpc.MethodDesc) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		read := func(request any) error { return receive(stream, request) }
		answer, err := method.Handler(srv, stream.Context(), read, nil)
		if err != nil {
			return err
		}
		return stream.SendMsg(answer)
	}
}

// receive reads one message, for readWithin at most. The read that it gives up
// ends with the stream, which ends when the handler returns.
func receive(stream grpc.ServerStream, request any) error {
	received := make(chan error, 1)
	go func() { received <- stream.RecvMsg(request) }()
	late := time.NewTimer(readWithin)
	defer late.Stop()
	select {
	case err := <-received:
		return err
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	case <-late.C:
		return status.Errorf(codes.DeadlineExceeded, "the request did not arrive within %v", readWithin)
	}
}
