package manifest

import (
	"reflect"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
)

func TestShapeOfGoType(t *testing.T) {
	s := newShapes().ofValue(&corev1.Pod{})
	for path, want := range map[string]valueKind{
		"apiVersion": text, "kind": text, "metadata": mapping, "metadata.labels": mapping, "metadata.generation": number,
		"metadata.ownerReferences": list, "spec.containers": list, "spec.hostNetwork": boolean, "status.podIPs": list,
	} {
		if got := at(s, path); got == nil || got.kind != want || got.open {
			t.Errorf("%s: %+v, want %s", path, got, want)
		}
	}
	for _, path := range []string{"metadata.creationTimestamp", "spec.overhead.cpu"} {
		if got := at(s, path); got == nil || !got.open {
			t.Errorf("%s has a decoder of its own: %+v", path, got)
		}
	}
	for _, path := range []string{"Spec", "TypeMeta", "metadata.Name", "spec.container"} {
		if got := at(s, path); got != nil {
			t.Errorf("%s is no field: %+v", path, got)
		}
	}
	if again := newShapes(); again.ofType(reflect.TypeFor[corev1.Pod]()) != again.ofType(reflect.TypeFor[*corev1.Pod]()) {
		t.Error("a type has two shapes")
	}
}

func TestShapeOfMessage(t *testing.T) {
	s := newShapes().ofMessage((&networking.VirtualService{}).ProtoReflect().Descriptor())
	if got := at(s, "exportTo"); got == nil || got != at(s, "export_to") {
		t.Error("a field must be known by both its names")
	}
	if got := at(s, "http").elem.fields["timeout"]; !got.length {
		t.Errorf("a timeout is a duration: %+v", got)
	}
	if got := at(s, "http").elem.fields["match"].elem.fields["headers"]; got.kind != mapping || got.fields != nil || got.elem.fields["regex"] == nil {
		t.Errorf("headers are a mapping of any name: %+v", got)
	}
	if got := at(s, "http").elem.fields["retries"].fields["retryRemoteLocalities"]; !got.open {
		t.Errorf("a wrapper is read by protobuf: %+v", got)
	}
}

// at follows a path of mappings; through one with any key.
func at(s *shape, path string) *shape {
	for _, name := range steps(path) {
		switch {
		case s == nil:
			return nil
		case s.fields != nil:
			s = s.fields[name]
		default:
			s = s.elem
		}
	}
	return s
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]string{
		"5s": `"5s"`, "30ms": `"0.03s"`, "1m30s": `"90s"`, "1.5h": `"5400s"`, "-1s": `"-1s"`, "0s": `"0s"`, "100us": `"0.0001s"`,
		"5": "", "five": "", "[5s]": "", "5 s": "",
	} {
		v, g := grown(t, "d: "+in)
		g.match(v.get("d"), duration, "d")
		if want == "" {
			if len(g.faults) != 1 {
				t.Errorf("%s: faults %+v", in, g.faults)
			}
			continue
		}
		if got := string(v.get("d").scalar); got != want || len(g.faults) > 0 {
			t.Errorf("%s is %s, want %s; %+v", in, got, want, g.faults)
		}
	}
}
