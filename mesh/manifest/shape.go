package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// shape is what a value may look like: of a Go type with json tags
// (Kubernetes) or of a protobuf message (Istio).
type shape struct {
	kind   valueKind
	fields map[string]*shape // of a mapping with known keys; nil: any key
	elem   *shape            // of a list, or of a mapping with any key
	enum   []string          // the texts that are allowed; nil: any
	open   bool              // a custom decoder judges it
	length bool              // a duration, in Go's form or in seconds
}

var (
	anything = &shape{open: true}
	duration = &shape{length: true}
)

// shapes makes each shape once. Types refer to themselves, so that a shape is
// noted before it is filled.
type shapes struct {
	byType    map[reflect.Type]*shape
	byMessage map[protoreflect.FullName]*shape
}

func newShapes() *shapes {
	return &shapes{byType: map[reflect.Type]*shape{}, byMessage: map[protoreflect.FullName]*shape{}}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (s *shapes) ofValue(v any) *shape { return s.ofType(reflect.TypeOf(v)) }

func (s *shapes) ofType(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := s.byType[t]; ok {
		return known
	}
	out := &shape{}
	s.byType[t] = out
	switch {
	case reflect.PointerTo(t).Implements(unmarshaler), t.Kind() == reflect.Interface:
		out.open = true
	case t.Kind() == reflect.Struct:
		out.kind, out.fields = mapping, map[string]*shape{}
		s.addFields(out.fields, t)
	case t.Kind() == reflect.Map:
		out.kind, out.elem = mapping, s.ofType(t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		out.kind = text
	case t.Kind() == reflect.Slice:
		out.kind, out.elem = list, s.ofType(t.Elem())
	case t.Kind() == reflect.String:
		out.kind = text
	case t.Kind() == reflect.Bool:
		out.kind = boolean
	default:
		out.kind = number
	}
	return out
}

func (s *shapes) addFields(fields map[string]*shape, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			s.addFields(fields, f.Type)
		case name != "" && name != "-":
			fields[name] = s.ofType(f.Type)
		}
	}
}

func (s *shapes) ofMessage(d protoreflect.MessageDescriptor) *shape {
	switch {
	case d.FullName() == "google.protobuf.Duration":
		return duration
	case d.FullName().Parent() == "google.protobuf":
		return anything
	}
	if known, ok := s.byMessage[d.FullName()]; ok {
		return known
	}
	out := &shape{kind: mapping, fields: map[string]*shape{}}
	s.byMessage[d.FullName()] = out
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		child := s.ofField(f)
		out.fields[f.JSONName()] = child
		out.fields[f.TextName()] = child
	}
	return out
}

func (s *shapes) ofField(f protoreflect.FieldDescriptor) *shape {
	switch {
	case f.IsMap():
		return &shape{kind: mapping, elem: s.ofSingle(f.MapValue())}
	case f.IsList():
		return &shape{kind: list, elem: s.ofSingle(f)}
	}
	return s.ofSingle(f)
}

func (s *shapes) ofSingle(f protoreflect.FieldDescriptor) *shape {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return s.ofMessage(f.Message())
	case protoreflect.StringKind, protoreflect.BytesKind:
		return &shape{kind: text}
	case protoreflect.BoolKind:
		return &shape{kind: boolean}
	case protoreflect.EnumKind:
		out := &shape{kind: text}
		for i := range f.Enum().Values().Len() {
			out.enum = append(out.enum, string(f.Enum().Values().Get(i).Name()))
		}
		return out
	}
	return anything // numbers may be written as text too
}

// match notes every place where the value does not have the shape.
func (g *grower) match(v *value, s *shape, field string) {
	switch {
	case s.open || v.kind == null:
		return
	case s.length:
		g.matchDuration(v, field)
		return
	case v.kind != s.kind:
		fix := "write " + s.kind.String()
		if s.kind == text && v.kind != mapping && v.kind != list {
			fix = `quote it: "` + v.text + `"`
		}
		g.fault(v.line, field, fix, "%s is expected, not %s", s.kind, v.kind)
		return
	case s.enum != nil && !slices.Contains(s.enum, v.text):
		g.fault(v.line, field, suggestion(v.text, s.enum), "%q is not a value of this field", v.text)
	}
	for i, item := range v.items {
		g.match(item, s.elem, field+"["+itoa(i)+"]")
	}
	for _, m := range v.members {
		at := join(field, m.key)
		child := s.elem
		if s.fields != nil {
			child = s.fields[m.key]
		}
		if child == nil {
			g.fault(m.line, at, suggestion(m.key, slices.Sorted(maps.Keys(s.fields))), "the field is not known")
			continue
		}
		g.match(m.value, child, at)
	}
}

// matchDuration takes 30ms and 5m as Istio does, and puts them into the seconds
// that protobuf's own JSON form knows.
func (g *grower) matchDuration(v *value, field string) {
	d, err := time.ParseDuration(v.text)
	if v.kind != text || err != nil {
		g.fault(v.line, field, "write a duration such as 5s or 250ms", "%q is not a duration", v.text)
		return
	}
	v.scalar = fmt.Appendf(nil, `"%ss"`, strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
}
