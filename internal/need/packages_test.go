package need_test

import (
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

func TestMissingPackagesSkipOutsideOfCI(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("PATH", t.TempDir())
	for name, find := range map[string]func(testing.TB) string{"promtool": need.Promtool, "SoftHSM": need.SoftHSM, "cc": need.CCompiler} {
		skipped := false
		t.Run(name, func(t *testing.T) {
			defer func() { skipped = t.Skipped() }()
			find(t)
		})
		if !skipped {
			t.Errorf("went on without %s", name)
		}
	}
}
