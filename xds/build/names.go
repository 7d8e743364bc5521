package build

import (
	"fmt"
	"strconv"
	"strings"
)

// The clusters for destinations that are no service; see [Base].
const (
	passthroughCluster = "PassthroughCluster"
	blackHoleCluster   = "BlackHoleCluster"
)

// clusterName is Istio's name of an outbound cluster; subset may be "".
func clusterName(port uint32, subset, host string) string {
	return fmt.Sprintf("outbound|%d|%s|%s", port, subset, host)
}

// serverName is the SNI that goes with a cluster's name, in Istio's form: "|" is
// not allowed in a server name.
func serverName(port uint32, subset, host string) string {
	return fmt.Sprintf("outbound_.%d_.%s_.%s", port, subset, host)
}

// listenerName is Istio's name of an outbound listener.
func listenerName(address string, port uint32) string {
	return fmt.Sprintf("%s_%d", address, port)
}

// routeName is the RouteConfiguration of a port's HTTP listener.
func routeName(port uint32) string { return strconv.FormatUint(uint64(port), 10) }

// bracketed is a host or IP address as it stands in a Host header.
func bracketed(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}
