package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// eachMessage visits m and all messages in it, with their field paths as a user
// writes them. A nil element of a list is visited as nil.
func eachMessage(m proto.Message, path string, visit func(path string, m proto.Message)) {
	visit(path, m)
	eachField(m.ProtoReflect(), path, func(path string, d protoreflect.FieldDescriptor, v protoreflect.Value) {
		if d.Message() == nil {
			return
		}
		if child := v.Message(); child.IsValid() {
			eachMessage(child.Interface(), path, visit)
		} else {
			visit(path, nil)
		}
	})
}

// eachField visits the single values of a message's populated fields, those of
// lists and maps one by one, in a fixed order.
func eachField(m protoreflect.Message, path string, visit func(string, protoreflect.FieldDescriptor, protoreflect.Value)) {
	if !m.IsValid() {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		d := fields.Get(i)
		if !m.Has(d) {
			continue
		}
		at := strings.TrimPrefix(path+"."+d.JSONName(), ".")
		switch v := m.Get(d); {
		case d.IsMap():
			for _, k := range sortedKeys(v.Map()) {
				visit(fmt.Sprintf("%s[%s]", at, k.String()), d.MapValue(), v.Map().Get(k))
			}
		case d.IsList():
			for j := range v.List().Len() {
				visit(fmt.Sprintf("%s[%d]", at, j), d, v.List().Get(j))
			}
		default:
			visit(at, d, v)
		}
	}
}

func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	var keys []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return cmp.Compare(a.String(), b.String()) })
	return keys
}

// checkMessage checks what is the same in every spec: no null in a list, no
// text that Envoy would refuse, and what checks says of each message.
func checkMessage(m proto.Message, path string, f *findings) {
	eachMessage(m, path, func(path string, m proto.Message) {
		if m == nil {
			f.fail(path, "remove the entry, or fill it", "the entry is null")
			return
		}
		checkTexts(m.ProtoReflect(), path, f)
		checkOne(m, path, f)
	})
}

func checkTexts(m protoreflect.Message, path string, f *findings) {
	eachField(m, path, func(path string, d protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch {
		case d.Kind() == protoreflect.StringKind && !cleanText(v.String(), strings.HasSuffix(path, ".body.string")):
			f.fail(path, "remove the control characters", "the text holds characters that can't be sent")
		case d.Kind() == protoreflect.EnumKind && d.Enum().Values().ByNumber(v.Enum()) == nil:
			f.fail(path, "write one of "+enumNames(d.Enum()), "%d is not a value of this field", v.Enum())
		}
	})
}

func enumNames(d protoreflect.EnumDescriptor) string {
	var names []string
	for i := range d.Values().Len() {
		names = append(names, string(d.Values().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

// cleanText: valid UTF-8 without control characters; a body may have several lines.
func cleanText(s string, body bool) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 0x20 || r == 0x7f) && r != '\t' && !(body && (r == '\n' || r == '\r'))
	})
}
