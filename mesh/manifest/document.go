package manifest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/ensign-mesh/ensign/mesh"
)

// document is one object of a file as far as it could be read.
type document struct {
	// ref is zero when not even the kind and name could be read.
	ref    mesh.Ref
	kind   *kind
	digest [sha256.Size]byte
	// value is the typed object; nil when the document has a fault.
	value any
	// selector of a policy, if it could be read.
	selector map[string]string
	reason   string // why value is nil
	standIn  *mesh.Object
}

// object is the document as an input of the mesh.
func (d *document) object() mesh.Object { return mesh.Object{Ref: d.ref, Value: d.value} }

// unreadable is a policy that is not taken, closed. A policy without a fault of
// its own is held back because its file has one.
func (d *document) unreadable() mesh.Object {
	reason := cmp.Or(d.reason, "its file has an error")
	return mesh.Object{Ref: d.ref, Value: &mesh.Unreadable{Selector: d.selector, Reason: reason}}
}

// decoder reads documents. It belongs to one goroutine.
type decoder struct {
	shapes *shapes
	// skipped notices a kind that the mesh is not built of.
	skipped func(apiVersion, kind string)
}

// decode reads one object. known finds the value of an object that was read
// before from the same text, so that it is not decoded again.
func (d *decoder) decode(v *value, g *grower, file string, known func(mesh.Ref, [sha256.Size]byte) any) *document {
	if v.kind != mapping {
		g.fault(v.line, "", "write an object with apiVersion, kind and metadata", "the document is %s", v.kind)
		return &document{}
	}
	k, ok := d.kindOf(v, g)
	if !ok {
		return nil
	}
	out := &document{kind: k}
	if k == nil {
		return out
	}
	out.ref = d.refOf(v, k, g, file)
	out.selector = selectorOf(v)
	var buf bytes.Buffer
	var places []place
	v.write(&buf, "", &places)
	out.digest = sha256.Sum256(buf.Bytes())
	if len(g.faults) == 0 && out.ref.Name != "" {
		out.value = known(out.ref, out.digest)
	}
	if out.value == nil {
		out.value = d.typed(v, k, g, buf.Bytes(), places)
	}
	if len(g.faults) > 0 {
		out.value, out.reason = nil, g.faults[0].message
	}
	return out
}

// kindOf is the kind of a document, or the one that was likely meant; false when
// it is one that is skipped.
func (d *decoder) kindOf(v *value, g *grower) (*kind, bool) {
	apiVersion, name := v.str("apiVersion"), v.str("kind")
	switch {
	case apiVersion == "":
		g.fault(v.line, "apiVersion", "write apiVersion", "there is no apiVersion")
		return nil, true
	case name == "":
		g.fault(v.line, "kind", "write kind", "there is no kind")
		return nil, true
	}
	found, meant, fix := find(apiVersion, name)
	switch {
	case found != nil:
		return found, true
	case meant == nil:
		d.skipped(apiVersion, name)
		return nil, false
	}
	field := "kind"
	if strings.HasPrefix(fix, "write apiVersion") {
		field = "apiVersion"
	}
	g.fault(v.get(field).line, field, fix, "%s %s is not known", apiVersion, name)
	return meant, true
}

// refOf names the object; one without a namespace is in "default", as kubectl has it.
func (d *decoder) refOf(v *value, k *kind, g *grower, file string) mesh.Ref {
	meta := v.get("metadata")
	ref := mesh.Ref{Kind: k.name, Where: file + ":" + itoa(v.line)}
	ref.Name, ref.Namespace = meta.str("name"), meta.str("namespace")
	if k.name != mesh.KindNamespace && ref.Namespace == "" {
		ref.Namespace = "default"
	}
	if ref.Name == "" {
		g.fault(v.line, "metadata.name", "name the object", "there is no name")
	}
	return ref
}

// selectorOf is spec.selector.matchLabels, nil if it can't be read.
func selectorOf(v *value) map[string]string {
	labels := v.get("spec").get("selector").get("matchLabels")
	if labels == nil || labels.kind != mapping || len(labels.members) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, m := range labels.members {
		if m.kind != text {
			return nil
		}
		out[m.key] = m.text
	}
	return out
}

// typed checks the shape of an object and decodes it.
func (d *decoder) typed(v *value, k *kind, g *grower, raw []byte, places []place) any {
	object, meta, spec := k.make()
	if spec == nil {
		g.match(v, d.shapes.ofValue(object), "")
		if len(g.faults) == 0 {
			g.decodeKube(raw, object, places)
		}
	} else {
		d.istio(v, g, meta, spec)
	}
	if meta.Namespace == "" && k.name != mesh.KindNamespace {
		meta.Namespace = "default"
	}
	return object
}

func (d *decoder) istio(v *value, g *grower, meta *metav1.ObjectMeta, spec proto.Message) {
	for _, m := range v.members {
		switch m.key {
		case "apiVersion", "kind", "status":
		case "metadata":
			g.match(m.value, d.shapes.ofValue(meta), "metadata")
		case "spec":
			g.match(m.value, d.shapes.ofMessage(spec.ProtoReflect().Descriptor()), "spec")
		default:
			g.fault(m.line, m.key, suggestion(m.key, []string{"apiVersion", "kind", "metadata", "spec", "status"}), "the field is not known")
		}
	}
	if len(g.faults) > 0 {
		return
	}
	raw, places := part(v.get("metadata"), "metadata")
	g.decodeKube(raw, meta, places)
	if at := v.get("spec"); at != nil && at.kind != null {
		raw, places = part(at, "spec")
		g.decodeProto(raw, spec, places)
	}
}

func part(v *value, field string) ([]byte, []place) {
	var buf bytes.Buffer
	var places []place
	v.write(&buf, field, &places)
	return buf.Bytes(), places
}

// decodeKube decodes with Kubernetes' own strict decoder.
func (g *grower) decodeKube(raw []byte, into any, places []place) {
	strict, err := kjson.UnmarshalStrict(raw, into)
	for _, e := range strict {
		g.fault(places[0].line, places[0].field, "", "%v", e)
	}
	if err == nil {
		return
	}
	at := places[0]
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		at = placeOf(raw, int(wrong.Offset), places)
		g.fault(at.line, at.field, "write "+article(wrong.Type.String()), "%s can't be read here", wrong.Value)
		return
	}
	g.fault(at.line, at.field, "", "%v", err)
}

func article(goType string) string {
	if strings.HasPrefix(goType, "int") || strings.HasPrefix(goType, "uint") {
		return "a whole number that fits " + goType
	}
	return "a " + goType
}

// placeOf finds the value that ends at an offset of the text.
func placeOf(raw []byte, offset int, places []place) place {
	offset = min(max(offset, 0), len(raw))
	line := bytes.Count(raw[:offset], []byte("\n"))
	return places[min(max(line-1, 0), len(places)-1)]
}

// protoError is how protojson tells a place: "proto: (line 12:3): what".
var protoError = regexp.MustCompile(`\(line (\d+):\d+\):\s*(.*)`)

func (g *grower) decodeProto(raw []byte, into proto.Message, places []place) {
	err := protojson.Unmarshal(raw, into)
	if err == nil {
		return
	}
	at, message := places[0], err.Error()
	if m := protoError.FindStringSubmatch(message); m != nil {
		// The first line of the text is empty: line 2 is the first value.
		if line, err := strconv.Atoi(m[1]); err == nil {
			at = places[min(max(line-2, 0), len(places)-1)]
		}
		message = m[2]
	}
	g.fault(at.line, at.field, "", "%s", message)
}
