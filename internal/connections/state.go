package connections

// Method is how one connection is ended.
type Method string

// The methods, best first.
const (
	// MethodPIDFD is shutdown(2) on a copy of Envoy's socket (pidfd_getfd): the peer sees EOF.
	MethodPIDFD Method = "pidfd"
	// MethodDestroy has the kernel destroy the socket (SOCK_DESTROY, needs
	// CAP_NET_ADMIN): the peer sees a reset.
	MethodDestroy Method = "sock_destroy"
	// MethodDrain: this process may do neither; the control plane has Envoy drain
	// the filter chains.
	MethodDrain Method = "drain"
	// MethodNone: there is no Envoy.
	MethodNone Method = "none"
)

// State is how far the live connections follow the orders.
type State struct {
	// Revision is that of the newest Orders that every connection was held
	// against. It stays behind while the table may lack connections that began
	// before the agent, or whose records were lost.
	Revision uint64
	Method   Method
	// Open connections are to end and have not yet.
	Open int
	// Cut have been ended since the start.
	Cut uint64
	// Error is why something is not as it should be, at most 1 KiB; "" else.
	Error string
}
