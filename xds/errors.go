package xds

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrNotConnected means that no stream of the asked proxy is open.
var ErrNotConnected = errors.New("proxy is not connected to this control plane")

// refusal ends a stream for what its client is or asked.
type refusal struct {
	code    codes.Code
	reason  string // metric label
	message string
}

func refuse(code codes.Code, reason, format string, args ...any) error {
	return &refusal{code, reason, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return r.message }

// GRPCStatus is the refusal as the client sees it.
func (r *refusal) GRPCStatus() *status.Status { return status.New(r.code, r.message) }
