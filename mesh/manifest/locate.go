package manifest

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ensign-mesh/ensign/mesh"
)

// Locate gives problems that a [mesh.Builder] found the line of their field: it
// reads the file of each again. Where that fails (the file changed since, the
// field is absent) the problem keeps the line of its object. It is safe from any
// goroutine.
func (s *Source) Locate(problems []mesh.Problem) []mesh.Problem {
	texts := map[string][]byte{}
	out := make([]mesh.Problem, len(problems))
	for i, p := range problems {
		name, line := splitPlace(p.Ref.Where)
		if _, ok := texts[name]; !ok && line != "" {
			texts[name], _ = read(filepath.Join(s.dir, filepath.FromSlash(name)))
		}
		if at := locate(texts[name], p.Ref, p.Field); at > 0 {
			p.Ref.Where = name + ":" + strconv.Itoa(at)
		}
		out[i] = p
	}
	return out
}

// locate is the line of a field of an object that starts at the line of its ref;
// 0 if it is not there.
func locate(text []byte, ref mesh.Ref, field string) int {
	if len(text) > maxFileSize || field == "" {
		return 0
	}
	_, start := splitPlace(ref.Where)
	reader := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		if safely(func() error { return reader.Decode(&node) }) != nil {
			return 0
		}
		if n := objectAt(&node, start, ref); n != nil {
			return descend(n, field)
		}
	}
}

// objectAt finds the object in a document or in the items of a list.
func objectAt(document *yaml.Node, line string, ref mesh.Ref) *yaml.Node {
	if len(document.Content) != 1 {
		return nil
	}
	candidates := []*yaml.Node{document.Content[0]}
	if items := child(document.Content[0], "items"); items != nil {
		candidates = append(candidates, items.Content...)
	}
	for _, n := range candidates {
		if name := child(child(n, "metadata"), "name"); name != nil && strconv.Itoa(n.Line) == line && name.Value == ref.Name {
			return n
		}
	}
	return nil
}

// descend follows a field path such as spec.http[0].match[1] as far as it goes.
func descend(n *yaml.Node, field string) int {
	line := 0
	for _, name := range steps(field) {
		next, at := step(n, name)
		if next == nil {
			break
		}
		n, line = next, at
	}
	return line
}

// steps cuts a field path; what is in brackets is an index or a key.
func steps(field string) []string {
	var out []string
	for field != "" {
		switch i := strings.IndexAny(field, ".["); {
		case field[0] == '.':
			field = field[1:]
		case field[0] == '[':
			inside, rest, ok := strings.Cut(field[1:], "]")
			if !ok {
				return out
			}
			out, field = append(out, inside), rest
		case i < 0:
			return append(out, field)
		default:
			out, field = append(out, field[:i]), field[i:]
		}
	}
	return out
}

func child(n *yaml.Node, name string) *yaml.Node {
	next, _ := step(n, name)
	return next
}

// step is the value of a mapping's key with the line of the key, or the item of
// a list with its own; nil if there is none.
func step(n *yaml.Node, name string) (next *yaml.Node, line int) {
	if n == nil {
		return nil, 0
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	}
	return nil, 0
}
