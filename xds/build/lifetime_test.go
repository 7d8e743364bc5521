package build

import (
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

func TestConnectionsEndInProportionToTheSVIDs(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		0:                  time.Hour,
		7 * 24 * time.Hour: time.Hour,
		24 * time.Hour:     time.Hour,
		time.Hour:          7*time.Minute + 30*time.Second,
		5 * time.Minute:    37*time.Second + 500*time.Millisecond,
		10 * time.Second:   5 * time.Second,
	} {
		if got := connectionLife(&mesh.Snapshot{SVIDLife: life}); got != want {
			t.Errorf("SVIDs of %v: %v, want %v", life, got, want)
		}
	}
}
