// Package need finds the real parts that a test stands on.
//
// A test that needs one says so in its first line; where the part is missing
// the test skips with what to do, and fails instead when CI is "true".
package need

import (
	"os"
	"os/exec"
	"testing"
)

// EnvoyVersion is the Envoy that the project is tested with.
const EnvoyVersion = "1.40.0"

// Envoy is the path of an Envoy binary: $ENSIGN_ENVOY, else the cache that
// `make envoy` fills, else PATH.
func Envoy(t testing.TB) string {
	t.Helper()
	if path := EnvoyPath(); path != "" {
		return path
	}
	skip(t, "no Envoy: run `make envoy`, or set ENSIGN_ENVOY")
	return ""
}

// EnvoyPath is the same outside of tests; "" when there is none.
func EnvoyPath() string {
	if path := os.Getenv("ENSIGN_ENVOY"); path != "" {
		return path
	}
	if path := cached("envoy-"+EnvoyVersion, "envoy"); path != "" {
		return path
	}
	path, _ := exec.LookPath("envoy")
	return path
}

// Root skips unless the test may make network namespaces and packet rules.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root for network namespaces: run as root")
		return
	}
	for _, tool := range []string{"ip", "iptables", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "needs "+tool+": run `make tools`")
			return
		}
	}
}

func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
