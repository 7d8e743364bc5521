package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Limits: how deep a document is nested, and how many values the aliases of a
// file stand for.
const (
	maxDepth    = 100
	maxExpanded = 100_000
)

// value is one node of a document with aliases and merge keys resolved.
type value struct {
	line    int
	kind    valueKind
	members []member // of a mapping, in the order of the file
	items   []*value // of a list
	scalar  []byte   // as JSON
	text    string   // of a scalar, as written
}

type member struct {
	key  string
	line int
	*value
}

type valueKind int

const (
	null valueKind = iota
	mapping
	list
	text
	number
	boolean
)

func (k valueKind) String() string {
	return [...]string{"null", "a mapping", "a list", "text", "a number", "true or false"}[k]
}

// get is a member of a mapping; nil if there is none.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for _, m := range v.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// str is the text of a member; "" if it is none.
func (v *value) str(key string) string {
	if m := v.get(key); m != nil && m.kind == text {
		return m.text
	}
	return ""
}

// grower turns YAML nodes into values, within the limits.
type grower struct {
	expanding int  // aliases that the current value is inside of
	expanded  *int // values that the aliases of the file stood for so far
	faults    []fault
}

// fault is one defect at a line.
type fault struct {
	line         int
	field        string
	message, fix string
}

func (g *grower) fault(line int, field, fix, format string, args ...any) {
	g.faults = append(g.faults, fault{line, field, fmt.Sprintf(format, args...), fix})
}

// grow reads one node; nil when a limit was passed.
func (g *grower) grow(n *yaml.Node, field string, depth int) *value {
	if g.expanding > 0 {
		*g.expanded++
	}
	if *g.expanded > maxExpanded {
		g.fault(n.Line, field, "write the values out", "the aliases of the file stand for more than %d values", maxExpanded)
		return nil
	}
	if depth > maxDepth {
		g.fault(n.Line, field, "nest less", "the document is nested deeper than %d levels", maxDepth)
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		g.expanding++
		defer func() { g.expanding-- }()
		return g.grow(n.Alias, field, depth+1)
	case yaml.MappingNode:
		return g.growMapping(n, field, depth)
	case yaml.SequenceNode:
		v := &value{line: n.Line, kind: list}
		for i, item := range n.Content {
			child := g.grow(item, fmt.Sprintf("%s[%d]", field, i), depth+1)
			if child == nil {
				return nil
			}
			v.items = append(v.items, child)
		}
		return v
	case yaml.ScalarNode:
		return g.growScalar(n, field)
	}
	return &value{line: n.Line}
}

func (g *grower) growMapping(n *yaml.Node, field string, depth int) *value {
	v := &value{line: n.Line, kind: mapping}
	seen := map[string]int{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.ShortTag() == "!!merge" {
			merges = append(merges, n.Content[i+1])
			continue
		}
		if key.Kind != yaml.ScalarNode {
			g.fault(key.Line, field, "write a plain name", "a key is not text")
			continue
		}
		at := join(field, key.Value)
		if first, ok := seen[key.Value]; ok {
			g.fault(key.Line, at, fmt.Sprintf("remove one of lines %d and %d", first, key.Line), "the key %q is there twice", key.Value)
			continue
		}
		seen[key.Value] = key.Line
		child := g.grow(n.Content[i+1], at, depth+1)
		if child == nil {
			return nil
		}
		v.members = append(v.members, member{key.Value, key.Line, child})
	}
	for _, m := range merges {
		if !g.merge(v, seen, m, field, depth) {
			return nil
		}
	}
	return v
}

// merge adds what a "<<" names, one mapping or a list of them, under the keys
// that the mapping does not have itself.
func (g *grower) merge(v *value, seen map[string]int, n *yaml.Node, field string, depth int) bool {
	from := g.grow(n, field, depth+1)
	if from == nil {
		return false
	}
	sources := from.items
	if from.kind == mapping {
		sources = []*value{from}
	}
	for _, s := range sources {
		for _, m := range s.members {
			if _, ok := seen[m.key]; !ok {
				seen[m.key] = m.line
				v.members = append(v.members, m)
			}
		}
	}
	return true
}

func (g *grower) growScalar(n *yaml.Node, field string) *value {
	v := &value{line: n.Line, text: n.Value, scalar: []byte("null")}
	switch n.ShortTag() {
	case "!!null":
		return v
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			v.kind, v.scalar = boolean, strconv.AppendBool(nil, b)
			return v
		}
	case "!!int", "!!float":
		if s, ok := numeral(n); ok {
			v.kind, v.scalar = number, s
			return v
		}
		g.fault(n.Line, field, "write a finite number, or quote the text", "%s can't be used as a number", n.Value)
		return v
	case "!!str", "!!timestamp", "!!binary":
	default:
		g.fault(n.Line, field, "remove the tag", "the tag %s is not known", n.Tag)
	}
	v.kind = text
	v.scalar, _ = json.Marshal(n.Value)
	return v
}

func numeral(n *yaml.Node) ([]byte, bool) {
	var i int64
	if n.Decode(&i) == nil && n.ShortTag() == "!!int" {
		return strconv.AppendInt(nil, i, 10), true
	}
	var u uint64
	if n.Decode(&u) == nil && n.ShortTag() == "!!int" {
		return strconv.AppendUint(nil, u, 10), true
	}
	var f float64
	if n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, false
	}
	s, err := json.Marshal(f)
	return s, err == nil
}

// place is where a line of the JSON that write makes comes from.
type place struct {
	line  int
	field string
}

// write puts the value down as JSON with every value on a line of its own, and
// notes where each line comes from: decoders tell lines or offsets.
func (v *value) write(out *bytes.Buffer, field string, places *[]place) {
	out.WriteByte('\n')
	*places = append(*places, place{v.line, field})
	switch v.kind {
	case mapping:
		out.WriteByte('{')
		for i, m := range v.members {
			if i > 0 {
				out.WriteByte(',')
			}
			key, _ := json.Marshal(m.key)
			out.Write(key)
			out.WriteByte(':')
			m.write(out, join(field, m.key), places)
		}
		out.WriteByte('}')
	case list:
		out.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				out.WriteByte(',')
			}
			item.write(out, fmt.Sprintf("%s[%d]", field, i), places)
		}
		out.WriteByte(']')
	default:
		out.Write(v.scalar)
	}
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}
