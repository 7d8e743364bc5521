package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ensign-mesh/ensign/mesh"
)

// Limits on one file.
const (
	maxFileSize  = 4 << 20
	maxDocuments = 10_000
)

// parsed is what one version of a file says.
type parsed struct {
	documents []*document
	problems  []mesh.Problem
	byID      map[mesh.Ref]*document // made when it is first asked for
}

// knownValues finds objects of a file's version before, by name and text.
type knownValues func(mesh.Ref, [sha256.Size]byte) any

// parse reads the text of a file.
func (d *decoder) parse(name string, raw []byte, known knownValues) *parsed {
	p := &parser{decoder: d, name: name, known: known, out: &parsed{}}
	if len(raw) > maxFileSize {
		p.problem(nil, 0, fault{1, "", fmt.Sprintf("the file has more than %d bytes", maxFileSize), "split it into several files"})
		return p.out
	}
	if filepath.Ext(name) == ".json" && json.Valid(raw) {
		raw = bytes.ReplaceAll(raw, []byte("\t"), []byte(" ")) // YAML knows no tabs; inside JSON text they are escaped
	}
	reader := yaml.NewDecoder(bytes.NewReader(raw))
	for number := 1; ; number++ {
		var node yaml.Node
		err := safely(func() error { return reader.Decode(&node) })
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.syntax(number, err)
			break
		}
		if len(p.out.documents) >= maxDocuments {
			p.problem(nil, number, fault{node.Line, "", fmt.Sprintf("the file has more than %d documents", maxDocuments), "split it into several files"})
			break
		}
		p.document(number, &node)
	}
	p.duplicates()
	return p.out
}

// safely turns a panic of the YAML reader over hostile text into an error.
func safely(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML can't be read: %v", r)
		}
	}()
	return read()
}

type parser struct {
	*decoder
	name  string
	known knownValues
	out   *parsed
	// expanded counts for the whole file: 10,000 documents must not each cost as
	// much as one may.
	expanded int
}

func (p *parser) document(number int, node *yaml.Node) {
	g := &grower{expanded: &p.expanded}
	if node.Kind != yaml.DocumentNode || len(node.Content) != 1 {
		return
	}
	v := g.grow(node.Content[0], "", 0)
	if v == nil {
		p.take(number, &document{}, g)
		return
	}
	if v.kind == null && len(g.faults) == 0 {
		return // an empty document
	}
	if strings.HasSuffix(v.str("kind"), "List") && v.get("items") != nil {
		p.list(number, v, g)
		return
	}
	p.take(number, p.decode(v, g, p.name, p.known), g)
}

// list reads the items of a List, or of a kind's own list, whose items may
// leave their kind out.
func (p *parser) list(number int, v *value, g *grower) {
	items := v.get("items")
	if items.kind != list && items.kind != null {
		g.fault(items.line, "items", "write a list", "a list is expected, not %s", items.kind)
	}
	p.take(number, nil, g)
	for i, item := range items.items {
		if own := strings.TrimSuffix(v.str("kind"), "List"); own != "" && item.kind == mapping && item.get("kind") == nil {
			item.members = append(item.members,
				member{"kind", item.line, &value{line: item.line, kind: text, text: own, scalar: quote(own)}},
				member{"apiVersion", item.line, &value{line: item.line, kind: text, text: v.str("apiVersion"), scalar: quote(v.str("apiVersion"))}})
		}
		if len(p.out.documents) >= maxDocuments {
			p.problem(nil, number, fault{item.line, "items", fmt.Sprintf("the file has more than %d objects", maxDocuments), "split it into several files"})
			return
		}
		child := &grower{expanded: &p.expanded}
		doc := p.decode(item, child, p.name, p.known)
		for j := range child.faults {
			child.faults[j].field = join("items["+itoa(i)+"]", child.faults[j].field)
		}
		p.take(number, doc, child)
	}
}

func quote(s string) []byte { out, _ := json.Marshal(s); return out }

// take adds a document, and what is wrong with it.
func (p *parser) take(number int, d *document, g *grower) {
	for _, f := range g.faults {
		p.problem(d, number, f)
	}
	if d != nil {
		p.out.documents = append(p.out.documents, d)
	}
}

func (p *parser) problem(d *document, number int, f fault) {
	ref := mesh.Ref{}
	if d != nil {
		ref = d.ref
	}
	ref.Where = p.name + ":" + strconv.Itoa(f.line)
	message := f.message
	if number > 0 {
		message = fmt.Sprintf("document %d: %s", number, f.message)
	}
	p.out.problems = append(p.out.problems, mesh.Problem{Ref: ref, Field: f.field, Message: message, Fix: f.fix})
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

// syntax notes text that is no YAML; nothing after it in the file can be read.
func (p *parser) syntax(number int, err error) {
	f := fault{1, "", err.Error(), "correct the YAML; the rest of the file can't be read"}
	if m := yamlLine.FindStringSubmatch(f.message); m != nil {
		f.line, _ = strconv.Atoi(m[1])
		f.message = m[2]
	}
	p.problem(nil, number, f)
}

// duplicates refuses an object that the file holds twice.
func (p *parser) duplicates() {
	first := map[mesh.Ref]mesh.Ref{}
	for _, d := range p.out.documents {
		if d.ref.Name == "" {
			continue
		}
		if before, ok := first[d.ref.ID()]; ok {
			p.out.problems = append(p.out.problems, duplicate(d.ref, before))
			continue
		}
		first[d.ref.ID()] = d.ref
	}
}

func duplicate(second, first mesh.Ref) mesh.Problem {
	return mesh.Problem{Ref: second, Field: "metadata.name", Fix: "remove one of the two, or rename it",
		Message: fmt.Sprintf("%s is already defined at %s", second, first.Where)}
}
