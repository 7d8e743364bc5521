package need

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports are given out below those that the system takes for its own connections (from
// 32768 on), so that none of these takes one before the test's server does.
const lowestPort, highestPort = 20000, 32000

// FreePort is a port of 127.0.0.1 on which nobody listens.
func FreePort() (int, error) {
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if l, err := net.Listen("tcp", Loopback(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port of 127.0.0.1 is free between %d and %d", lowestPort, highestPort)
}

// Port is [FreePort] for a test.
func Port(t testing.TB) int {
	t.Helper()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Address is 127.0.0.1 with a port on which nobody listens.
func Address(t testing.TB) string {
	t.Helper()
	return Loopback(Port(t))
}

// Loopback is the address of a port of 127.0.0.1.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
