package build_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/meshgen"
)

const routeByRegex = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r%d, namespace: shop}
spec: {hosts: [h%[1]d.example.com], http: [{match: [{uri: {regex: '%s'}}], directResponse: {status: 200}}]}
---
`

// Envoy takes every class of characters that the mesh lets through.
func TestEnvoyTakesClassesOfCharacters(t *testing.T) {
	envoy := need.Envoy(t)
	names := slices.Concat([]string{"Any"}, slices.Sorted(maps.Keys(unicode.Categories)), slices.Sorted(maps.Keys(unicode.Scripts)))
	var yaml strings.Builder
	for i, name := range names {
		fmt.Fprintf(&yaml, routeByRegex, i, `/\p{`+name+`}`)
	}
	s, problems := meshgen.LoadFlawed(t, yaml.String())
	if len(s.Routes) < 150 {
		t.Fatalf("%d routes; %v", len(s.Routes), problems)
	}
	if out, err := validate(t, envoy, s, shop); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
