package build_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

// outbound is all that a scope gets of a snapshot, save its base.
func outbound(s *mesh.Snapshot, sc build.Scope) []build.Resource {
	var out []build.Resource
	hosts := hostsOf(s)
	for _, host := range hosts {
		out = append(out, build.Clusters(s, sc, host)...)
	}
	for _, host := range hosts {
		out = append(out, build.Endpoints(s, sc, host)...)
	}
	for _, port := range build.Ports(s, sc) {
		out = append(out, build.Port(s, sc, port)...)
	}
	for _, host := range hosts {
		out = append(out, build.VirtualHosts(s, sc, host)...)
	}
	return out
}

// hostsOf are, sorted, the services and the hosts that are routed.
func hostsOf(s *mesh.Snapshot) []string {
	hosts := slices.AppendSeq(slices.Collect(maps.Keys(s.Services)), maps.Keys(s.Routes))
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// header reads the words of an input's line "# NAME: WORD…"; nil if there is none.
func header(input, name string) []string {
	for line := range strings.Lines(input) {
		if words, ok := strings.CutPrefix(line, "# "+name+": "); ok {
			return strings.Fields(words)
		}
	}
	return nil
}

// scopesOf are the scopes that an input names: NAMESPACE, or NAMESPACE/inline for
// one without VHDS.
func scopesOf(t *testing.T, input string) []build.Scope {
	t.Helper()
	var out []build.Scope
	for _, name := range header(input, "scopes") {
		namespace, inline := strings.CutSuffix(name, "/inline")
		out = append(out, build.Scope{Namespace: namespace, VHDS: !inline})
	}
	if len(out) == 0 {
		t.Fatal("the input has no line # scopes: NAMESPACE")
	}
	return out
}

// loadInput is the mesh of an input. The problems that the mesh must find, by the
// names of their objects, stand in a line "# problems: NAME…".
func loadInput(t *testing.T, input string) *mesh.Snapshot {
	t.Helper()
	s, problems := meshgen.LoadFlawed(t, input)
	var got []string
	for _, p := range problems {
		if !strings.Contains(p.Message, "not supported") {
			got = append(got, p.Ref.Name)
		}
	}
	if want := header(input, "problems"); !slices.Equal(got, want) {
		t.Errorf("problems of %v, want those of %v: %v", got, want, problems)
	}
	return s
}

// ofTypes leaves the resources of some types, named as in type URLs; of none: all.
func ofTypes(resources []build.Resource, types []string) []build.Resource {
	return slices.DeleteFunc(resources, func(r build.Resource) bool {
		return len(types) > 0 && !slices.Contains(types, r.TypeURL[strings.LastIndexByte(r.TypeURL, '.')+1:])
	})
}

func TestOutbound(t *testing.T) {
	golden(t, "testdata/outbound", func(t *testing.T, input string) string {
		s := loadInput(t, input)
		var out strings.Builder
		for _, sc := range scopesOf(t, input) {
			out.WriteString("### scope " + sc.Namespace)
			if !sc.VHDS {
				out.WriteString(" without VHDS")
			}
			out.WriteString("\n" + show(t, ofTypes(outbound(s, sc), header(input, "types"))))
		}
		return out.String()
	})
}
