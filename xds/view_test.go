package xds

import "testing"

func made(t *testing.T, name, mark string) *resource {
	t.Helper()
	r, err := encode(clusterOf(name, mark))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A unit that is built again and comes out equal keeps the resource in the
// view, and must still be able to take it out.
func TestViewRemovesWhatWasBuiltAgain(t *testing.T) {
	v := newView()
	first, again := made(t, "a", "x"), made(t, "a", "x")
	v.replace(nil, []*resource{first})
	if n := v.replace([]*resource{first}, []*resource{again}); n[cluster] != 0 || v.get(cluster, "a") != first {
		t.Errorf("equal content changed %v names", n)
	}
	if n := v.replace([]*resource{again}, nil); n[cluster] != 1 || v.get(cluster, "a") != nil {
		t.Errorf("%v names changed; the resource stays in the view", n)
	}
}

func TestViewRemembersWhatWasAccepted(t *testing.T) {
	v := newView()
	one, two, three := made(t, "a", "1"), made(t, "a", "2"), made(t, "a", "3")
	v.replace(nil, []*resource{one})
	one.accept("1.40.0")
	v.replace([]*resource{one}, []*resource{two})
	v.replace([]*resource{two}, []*resource{three})
	if v.lastGood(cluster, "a", "1.40.0") != one || v.lastGood(cluster, "a", "1.39.0") != nil {
		t.Error("the last good content is not the one that a client of the version accepted")
	}
	next := newView()
	next.replace(nil, []*resource{made(t, "a", "4")})
	next.inherit(v)
	if next.lastGood(cluster, "a", "1.40.0") != one {
		t.Error("a view that replaces another forgot what was good")
	}
}

func TestChangelogIsBounded(t *testing.T) {
	var c changelog
	for range 3 * logLength {
		c.note(cluster, "a")
	}
	if len(c.log) > 2*logLength {
		t.Errorf("%d changes are kept", len(c.log))
	}
	if _, now, ok := c.since(c.seq - 10); !ok || now != c.seq {
		t.Error("ten changes ago is forgotten")
	}
	if _, _, ok := c.since(0); ok {
		t.Error("what is no longer kept is answered")
	}
}
