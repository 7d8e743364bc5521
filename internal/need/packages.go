package need

import (
	"os"
	"os/exec"
	"testing"
)

// Promtool is the path of Prometheus' own tool for rules: that of Debian's package
// prometheus, or another in PATH.
func Promtool(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		skip(t, "no promtool: run `deploy/tools/packages.sh promtool`, or put one into PATH")
	}
	return path
}

// softHSMModules are where Debian and others put SoftHSM's PKCS#11 module.
var softHSMModules = []string{
	"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so",
}

// SoftHSM is the path of SoftHSM's PKCS#11 module; softhsm2-util, which makes tokens
// for it, is in PATH then.
func SoftHSM(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("softhsm2-util"); err == nil {
		for _, module := range softHSMModules {
			if _, err := os.Stat(module); err == nil {
				return module
			}
		}
	}
	skip(t, "no SoftHSM: run `deploy/tools/packages.sh softhsm2-util`")
	return ""
}

// CCompiler is a compiler for what a test loads as a shared library.
func CCompiler(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("cc")
	if err != nil {
		skip(t, "no C compiler: install Debian's package gcc, or put cc into PATH")
	}
	return path
}
