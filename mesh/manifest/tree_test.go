package manifest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// grown reads one document as a tree.
func grown(t testing.TB, text string) (*value, *grower) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	expanded := 0
	g := &grower{expanded: &expanded}
	return g.grow(node.Content[0], "", 0), g
}

func asJSON(v *value) string {
	var buf bytes.Buffer
	var places []place
	v.write(&buf, "", &places)
	var compact bytes.Buffer
	if err := json.Compact(&compact, buf.Bytes()); err != nil {
		return err.Error()
	}
	return compact.String()
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]string{
		"text": `"text"`, `"1"`: `"1"`, "'true'": `"true"`, "1": "1", "-7": "-7", "0x10": "16", "1.5": "1.5", "1e3": "1000",
		"18446744073709551615": "18446744073709551615", "true": "true", "null": "null", "~": "null", "": "null",
		"2026-11-01T10:00:00Z": `"2026-11-01T10:00:00Z"`, "yes": `"yes"`, "no": `"no"`, "1.10": "1.1", "10.0.0.1": `"10.0.0.1"`,
		"!!str 5": `"5"`, "ü\t\"": `"ü\t\""`, "|\n    a\n    b": `"a\nb"`,
	} {
		v, g := grown(t, "k: "+in)
		if got := asJSON(v); got != `{"k":`+want+`}` || len(g.faults) > 0 {
			t.Errorf("%q is %s, want %s; %+v", in, got, want, g.faults)
		}
	}
	for _, in := range []string{".inf", ".nan", "!mine x"} {
		if _, g := grown(t, "k: "+in); len(g.faults) != 1 || g.faults[0].field != "k" || g.faults[0].line != 1 {
			t.Errorf("%q: faults %+v", in, g.faults)
		}
	}
}

func TestMerging(t *testing.T) {
	for in, want := range map[string]string{
		"a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}":           `{"a":{"k":1,"l":2},"b":{"l":3,"k":1}}`,
		"b: {<<: [{k: 1}, {k: 2, m: 3}], n: 4}":           `{"b":{"n":4,"k":1,"m":3}}`,
		"a: &x {k: 1}\nb: &y {<<: *x, k: 2}\nc: {<<: *y}": `{"a":{"k":1},"b":{"k":2},"c":{"k":2}}`,
		"a: &x [1, 2]\nb: *x":                             `{"a":[1,2],"b":[1,2]}`,
		"a: &x {k: &y v}\nb: *y":                          `{"a":{"k":"v"},"b":"v"}`,
	} {
		v, g := grown(t, in)
		if got := asJSON(v); got != want || len(g.faults) > 0 {
			t.Errorf("%q is %s, want %s; %+v", in, got, want, g.faults)
		}
	}
}

func TestKeys(t *testing.T) {
	for in, want := range map[string]string{
		"a: 1\nb: {c: 2, c: 3}": `b.c: the key "c" is there twice`, "? [a]\n: b": "a key is not text", "a: 1\n'a': 2": `the key "a" is there twice`,
	} {
		_, g := grown(t, in)
		if len(g.faults) != 1 || !strings.Contains(join(g.faults[0].field, "")+g.faults[0].message, strings.Split(want, ": ")[len(strings.Split(want, ": "))-1]) {
			t.Errorf("%q: faults %+v, want %s", in, g.faults, want)
		}
	}
}

// TestTreeKeepsContent: whatever JSON is read as YAML comes out as the same JSON,
// and every value has a place of its own line.
func TestTreeKeepsContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawJSON(t, 4)
		raw, err := json.MarshalIndent(map[string]any{"top": want}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		var node yaml.Node
		if err := yaml.Unmarshal(raw, &node); err != nil {
			t.Skip("YAML does not read this JSON: " + err.Error())
		}
		expanded := 0
		g := &grower{expanded: &expanded}
		v := g.grow(node.Content[0], "", 0)
		var buf bytes.Buffer
		var places []place
		v.write(&buf, "", &places)
		var got map[string]any
		if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
			t.Fatal(err, buf.String())
		}
		again, _ := json.MarshalIndent(got, "", " ")
		if !bytes.Equal(raw, again) {
			t.Fatalf("got %s\nwant %s", again, raw)
		}
		if lines := bytes.Count(buf.Bytes(), []byte("\n")); lines != len(places) {
			t.Fatalf("%d lines, %d places", lines, len(places))
		}
	})
}

func drawJSON(t *rapid.T, depth int) any {
	kinds := 4
	if depth > 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.StringMatching(`[a-zA-Z0-9 :#{}\[\],&*!|>'"%@.~-]{0,12}`).Draw(t, "text")
	case 1:
		return float64(rapid.Int32().Draw(t, "number"))
	case 2:
		return rapid.Bool().Draw(t, "boolean")
	case 3:
		return nil
	case 4:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return drawJSON(t, depth-1) }), 0, 4).Draw(t, "list")
	}
	keys := rapid.StringMatching(`[a-zA-Z0-9/._-]{1,6}`)
	return rapid.MapOfN(keys, rapid.Custom(func(t *rapid.T) any { return drawJSON(t, depth-1) }), 0, 4).Draw(t, "mapping")
}
