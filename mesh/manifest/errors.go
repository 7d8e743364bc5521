package manifest

import (
	"fmt"
	"strings"

	"github.com/ensign-mesh/ensign/mesh"
)

// LoadError is a first load that was refused, with everything that is wrong.
type LoadError struct {
	Dir      string
	Problems []mesh.Problem
}

// Error lists the problems, one a line.
func (e *LoadError) Error() string {
	lines := []string{fmt.Sprintf("loading the manifests of %s: %d problems", e.Dir, len(e.Problems))}
	for _, p := range e.Problems {
		lines = append(lines, "  "+Describe(p))
	}
	return strings.Join(lines, "\n")
}

// Describe is a problem in one line: place, object, field, what is wrong, what
// to write instead.
func Describe(p mesh.Problem) string {
	var parts []string
	if p.Ref.Where != "" {
		parts = append(parts, p.Ref.Where)
	}
	if p.Ref.Name != "" {
		parts = append(parts, p.Ref.String())
	}
	if p.Field != "" {
		parts = append(parts, p.Field)
	}
	line := strings.Join(append(parts, p.Message), ": ")
	if p.Fix != "" {
		line += "; " + p.Fix
	}
	return line
}
