package xds

import (
	"slices"
	"testing"
)

// What scrapes the counters finds them before anything happened.
func TestCountersExistFromTheStart(t *testing.T) {
	families, err := newWorld(t).reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range families {
		if len(f.Metric) == kinds {
			found = append(found, f.GetName())
		}
	}
	for _, name := range []string{"ensign_xds_builds_total", "ensign_xds_encodes_total", "ensign_xds_sent_bytes_total", "ensign_xds_responses_total", "ensign_xds_nacks_total"} {
		if !slices.Contains(found, name) {
			t.Errorf("%s does not have a value for each type", name)
		}
	}
}
