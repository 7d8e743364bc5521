// Package need finds the real parts that a test stands on.
//
// A test that needs one says so in its first line; where the part is missing
// the test skips with what to do, and fails instead when CI is "true". [Port] is one for
// a server that a test starts.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
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
	return found("ENSIGN_ENVOY", "envoy-"+EnvoyVersion, "envoy")
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

// found is a program that a variable names, else that of the cache's folder, which the
// makefile fills, else that of PATH; "" if there is none.
func found(variable, folder, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	if dir, err := os.UserCacheDir(); err == nil {
		path := filepath.Join(dir, "ensign", folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	path, _ := exec.LookPath(name)
	return path
}

func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
