package manifest

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/mesh"
)

// FuzzParse: whatever a file says, reading it ends, and every document is either
// decoded or told as a problem with a place; what is decoded never makes the
// builder panic.
func FuzzParse(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/in/*.*")
	for _, path := range seeds {
		if raw, err := os.ReadFile(path); err == nil {
			f.Add(raw)
		}
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{? [x] : y, <<: {a: b}}"))
	shapes := newShapes()
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := &decoder{shapes: shapes, skipped: func(string, string) {}}
		p := d.parse("x.yaml", raw, func(mesh.Ref, [sha256.Size]byte) any { return nil })
		faulty := len(p.problems) > 0
		var u mesh.Update
		for _, doc := range p.documents {
			if doc.value == nil && !faulty {
				t.Fatalf("document %+v was neither decoded nor told", doc)
			}
			if doc.value != nil {
				u.Upserts = append(u.Upserts, doc.object())
			}
		}
		for _, problem := range p.problems {
			if problem.Ref.Where == "" || problem.Message == "" {
				t.Fatalf("a problem without place or words: %+v", problem)
			}
		}
		_, _, problems := mesh.NewBuilder(spiffeid.RequireTrustDomainFromString("cluster.local")).Apply(u)
		for _, problem := range problems {
			locate(raw, problem.Ref, problem.Field)
		}
	})
}
