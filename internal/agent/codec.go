package agent

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// frame is one gRPC message that nobody here looks into. Its buffers are handed
// on, not copied: who receives a frame owns it until it is sent.
type frame struct{ data mem.BufferSlice }

// passthrough is gRPC's codec for frames.
type passthrough struct{}

// Marshal gives the frame's buffers away.
func (passthrough) Marshal(message any) (mem.BufferSlice, error) {
	f, ok := message.(*frame)
	if !ok {
		return nil, fmt.Errorf("relaying takes frames, not %T", message)
	}
	data := f.data
	f.data = nil
	return data, nil
}

// Unmarshal keeps the buffers, which gRPC would otherwise free.
func (passthrough) Unmarshal(data mem.BufferSlice, message any) error {
	f, ok := message.(*frame)
	if !ok {
		return fmt.Errorf("relaying takes frames, not %T", message)
	}
	data.Ref()
	f.data = data
	return nil
}

// Name is that of the codec whose bytes are passed.
func (passthrough) Name() string { return "proto" }
