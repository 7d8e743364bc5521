package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ensign-mesh/ensign/sds"
)

const (
	// Limits on the file of roots: those of a bundle in rotation, and much room.
	maxRootsBytes = 1 << 20
	maxRoots      = 64
	// The file is this, the SHA-256 of what follows, a line break, and JSON.
	rootsMark = "ensign-roots/1 "
)

// rootsFile keeps the roots in force for the next agent, which may start while the
// control plane is away, or with a bundle file that has a retired root in it.
type rootsFile string

// keptRoots is the file's form. Roots are DER.
type keptRoots struct {
	BundleFile string   `json:"bundle_file"`
	Sequence   uint64   `json:"sequence"`
	Roots      [][]byte `json:"roots"`
}

func (f rootsFile) store(kept sds.Kept) error {
	form := keptRoots{BundleFile: kept.Operator, Sequence: kept.Sequence}
	for _, root := range kept.Roots {
		form.Roots = append(form.Roots, root.Raw)
	}
	body, err := json.Marshal(form)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", f, err)
	}
	return writeMarked(string(f), rootsMark, body)
}

// load is what was stored last; nil if nothing ever was.
func (f rootsFile) load() (*sds.Kept, error) {
	body, err := readMarked(string(f), rootsMark, maxRootsBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading kept roots: %w", err)
	}
	kept, err := parseRoots(body)
	if err != nil {
		return nil, fmt.Errorf("reading kept roots in %s: %w", f, err)
	}
	return kept, nil
}

// openRoots is what this agent believes to begin with. What an earlier one kept and
// cannot be used is set aside: then the bundle file stands alone.
func (s *settings) openRoots(metrics *sds.Metrics) *sds.Roots {
	file := rootsFile(s.path("roots"))
	kept, err := file.load()
	if err != nil {
		s.Logger.Error("the roots that an earlier agent kept are not usable: those of the bundle file stand until the control plane says more",
			"file", file, "error", err)
	}
	return sds.NewRoots(sds.RootsConfig{
		Operator: trustFile(s.TrustBundle).roots, Keep: file.store, Kept: kept, Metrics: metrics, Logger: s.Logger,
	})
}

func parseRoots(body []byte) (*sds.Kept, error) {
	var form keptRoots
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&form); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one value in it")
	}
	if len(form.Roots) == 0 || len(form.Roots) > maxRoots || len(form.BundleFile) != 64 {
		return nil, fmt.Errorf("it holds %d roots for the bundle file %.70q: want 1 to %d", len(form.Roots), form.BundleFile, maxRoots)
	}
	kept := &sds.Kept{Operator: form.BundleFile, Sequence: form.Sequence}
	for _, der := range form.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if !root.IsCA || !root.BasicConstraintsValid {
			return nil, fmt.Errorf("%q is no CA", root.Subject)
		}
		kept.Roots = append(kept.Roots, root)
	}
	return kept, nil
}
