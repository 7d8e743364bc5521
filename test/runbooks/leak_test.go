package runbooks

import (
	"fmt"
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

// Data folder and key-encryption key were copied: somebody signs as our issuer does, and
// could as our root.
func TestIssuerKeyLeaked(t *testing.T) {
	l := mesh(t, lab.Config{})
	populate(t, l)
	if err := l.AddPods(t.Context(), lab.PodSpec{Name: "outsider"}); err != nil {
		t.Fatal(err)
	}
	stolen, err := l.StealIssuer()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := lab.Counterfeit(stolen, l.Pod("reader").ID())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), cert)
	if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err != nil {
		t.Fatalf("the counterfeit is refused before anything was done, so this test tests nothing: %v", err)
	}
	refused := func() error {
		if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err == nil {
			return fmt.Errorf("the counterfeit is let in")
		}
		return nil
	}
	p := play{book: "issuer-key-leaked", variables: []string{"ISSUER=" + stolen.Serial()}, choose: []string{"the root's key is out too"}}
	p.after = map[string]func(*lab.Shell){"--wait=1m": func(*lab.Shell) {
		if err := refused(); err != nil {
			t.Errorf("the issuer is revoked, and %v", err)
		}
	}}
	p.follow(t, l)
	a := lives(t, l, "builtin")
	if !a.Roots[0].Compromised || a.Roots[0].Trusted || len(a.Roots) != 2 {
		t.Errorf("the roots: %+v", a.Roots)
	}
	if err := refused(); err != nil {
		t.Error(err)
	}
	if r := l.Ensign(t.Context(), "ca", "rollback", "--reason", "test"); r.Code == 0 {
		t.Errorf("it goes back to the root whose key is out:\n%s", r.Output)
	}
}
