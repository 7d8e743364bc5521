package rotation

import (
	"os"
	"path/filepath"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

func bundleFile(dir string) string { return filepath.Join(dir, "bundle.pem") }

// sweepBundle removes what a crash left half written.
func sweepBundle(dir string) error { return durable.SweepFile(bundleFile(dir)) }

// writeBundle leaves a file that is right already alone.
func writeBundle(dir string, b ca.Bundle) error {
	if old, err := os.ReadFile(bundleFile(dir)); err == nil && string(old) == b.PEM() {
		return nil
	}
	return durable.WriteFile(bundleFile(dir), []byte(b.PEM()), 0o644)
}
