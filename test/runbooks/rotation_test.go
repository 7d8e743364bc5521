package runbooks

import (
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

func TestRotateRoot(t *testing.T) {
	l := mesh(t, lab.Config{})
	populate(t, l)
	unnoticed(t, l, func() { play{book: "rotate-root"}.follow(t, l) })
	if a := lives(t, l, "builtin"); a.Rotation == nil || a.Rotation.Outcome != "completed" {
		t.Errorf("the rotation: %+v", a.Rotation)
	}
}

// And back again, as the runbook says what to do if something is wrong.
func TestRotateRootAndBack(t *testing.T) {
	l := mesh(t, lab.Config{})
	populate(t, l)
	before, err := l.Authority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unnoticed(t, l, func() { play{book: "rotate-root", choose: []string{"something is wrong"}}.follow(t, l) })
	if a := lives(t, l, "builtin"); a.Signing().Fingerprint != before.Signing().Fingerprint {
		t.Errorf("%s signs, and not the root from before", a.Signing().Name)
	}
}
