package need_test

import (
	"net"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

func TestAFreePortCanBeListenedOn(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		port := need.Port(t)
		l, err := net.Listen("tcp", need.Loopback(port))
		if err != nil || seen[port] || port >= 32768 {
			t.Fatalf("port %d: %v", port, err)
		}
		defer l.Close() // to the end of the test
		seen[port] = true
	}
}
