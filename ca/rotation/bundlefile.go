package rotation

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

func bundleFile(dir string) string { return filepath.Join(dir, "bundle.pem") }

// sweepBundle removes what a crash left half written.
func sweepBundle(dir string) error { return durable.SweepFile(bundleFile(dir)) }

// checkBundle refuses a bundle.pem with a root that the ledger does not know, or without
// the one that signs by it: a root is in the file before it signs. Then the ledger was put
// back from before a rotation or from its midst, or is another mesh's. To go on would take
// their root away from all workloads, or have them shown certificates of one that they do
// not trust any more. What can't be read says nothing, and is written anew.
func checkBundle(dir string, s *state) error {
	text, err := os.ReadFile(bundleFile(dir))
	if err != nil {
		return nil
	}
	bundle, err := ca.ParseBundle(text)
	if err != nil {
		return nil
	}
	for _, root := range bundle.Roots() {
		if print := ca.Fingerprint(root); s.find(print) == nil {
			return fmt.Errorf("%w: %s holds %q (%.12s): the ledger is from before a rotation of the root, or is another mesh's: restore a newer backup of it; "+
				"or, to go back to root %s knowingly, move that file away, and give every agent the new one (docs/runbooks/ledger-restored.md)",
				ErrForgotten, bundleFile(dir), root.Subject, print, s.signing())
		}
	}
	if a := s.signing(); !bundle.Holds(a.root()) {
		return fmt.Errorf("%w: %s does not hold root %s, by which this ledger signs: it is from the midst of a rotation that has gone on since: restore a newer backup of it; "+
			"or, to go on from there knowingly, move that file away, and give every agent the new one (docs/runbooks/ledger-restored.md)",
			ErrForgotten, bundleFile(dir), a)
	}
	return nil
}

// writeBundle leaves a file that is right already alone.
func writeBundle(dir string, b ca.Bundle) error {
	if old, err := os.ReadFile(bundleFile(dir)); err == nil && string(old) == b.PEM() {
		return nil
	}
	return durable.WriteFile(bundleFile(dir), []byte(b.PEM()), 0o644)
}
