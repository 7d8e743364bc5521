package mesh

import (
	"slices"
	"testing"
)

func TestDraftCopiesAtTheFirstWrite(t *testing.T) {
	one, two := new(int), new(int)
	base := map[string]*int{"a": one}
	d := draftOf(base)
	d.put("a", one)
	d.put("none", nil)
	if d.copied || len(d.changed) != 0 {
		t.Fatal("writing what is there is a change")
	}
	d.put("b", two)
	d.put("a", nil)
	if len(base) != 1 || base["a"] != one {
		t.Error("the last snapshot's map was written")
	}
	if len(d.entries) != 1 || d.entries["b"] != two || !d.changed.Has("a") || !d.changed.Has("b") {
		t.Errorf("got %+v", d)
	}
	empty := draftOf[string, *int](nil)
	empty.put("a", one)
	if empty.entries["a"] != one {
		t.Error("a draft of nothing takes nothing")
	}
}

func TestShelfAndIndex(t *testing.T) {
	s := newShelf[int]()
	s.put(Key{"a", "x"}, 1)
	s.put(Key{"a", "y"}, 2)
	s.drop(Key{"a", "x"})
	if len(s.all) != 1 || s.byNamespace["a"][Key{"a", "y"}] != 2 {
		t.Errorf("got %+v", s)
	}
	s.drop(Key{"a", "y"})
	s.drop(Key{"b", "never"})
	x := index[string, int]{}
	x.add("a", 1)
	x.add("a", 2)
	x.remove("a", 1)
	x.remove("b", 1)
	if !x["a"].Has(2) || x["a"].Has(1) {
		t.Errorf("got %+v", x)
	}
	x.remove("a", 2)
	if len(x)+len(s.byNamespace)+len(s.all) != 0 {
		t.Error("something is left of what is gone")
	}
}

func TestReportIsSortedAndForgets(t *testing.T) {
	r := newReport()
	a, b := Ref{Kind: KindPod, Key: Key{"a", "x"}}, Ref{Kind: KindPod, Key: Key{"b", "x"}}
	r.set(b, []Problem{{Field: "z", Message: "2"}, {Field: "a", Message: "1"}})
	r.set(a, []Problem{{Field: "y", Message: "0"}})
	r.setHost("h", []Problem{{Ref: a, Field: "x", Message: "host"}})
	objects := map[Ref]Object{b: {Ref: Ref{Kind: KindPod, Key: b.Key, Where: "f.yaml:3"}}}
	var fields []string
	for _, p := range r.all(objects) {
		fields = append(fields, p.Field+p.Ref.Where)
	}
	if want := []string{"x", "y", "af.yaml:3", "zf.yaml:3"}; !slices.Equal(fields, want) {
		t.Errorf("got %v, want %v", fields, want)
	}
	r.set(a, nil)
	r.set(b, nil)
	r.setHost("h", nil)
	if got := r.all(nil); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
}

func TestConsequenceIsToldOfTheFirstFailure(t *testing.T) {
	f := &findings{}
	f.note("a", "", "a notice")
	f.fail("b", "", "a defect")
	f.fail("c", "", "another")
	f.consequence("; closed")
	if f.list[0].Message != "a notice" || f.list[1].Message != "a defect; closed" || f.list[2].Message != "another" {
		t.Errorf("got %+v", f.list)
	}
}
