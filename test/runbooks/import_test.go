package runbooks

import (
	"os"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

func TestImportIstioCA(t *testing.T) {
	root := newAuthority(t, "Root CA", 10*365*24*time.Hour, nil)
	between := newAuthority(t, "Intermediate CA", 2*365*24*time.Hour, root)
	l := mesh(t, lab.Config{})
	// The mesh begins with the import: nothing was there before.
	stop(t, l)
	if err := os.RemoveAll(l.Control.Data); err != nil {
		t.Fatal(err)
	}
	p := play{book: "import-istio-ca", variables: []string{"CACERTS=" + cacerts(t, between, root)}}
	p.before = map[string]func(*lab.Shell){"for try in $(seq 60); do ensign proxy": func(*lab.Shell) {
		populate(t, l)
		cert, err := l.Pod("reader").StealKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.Leaf.CheckSignatureFrom(between.cert); err != nil {
			t.Errorf("before the rotation an SVID is not Istio's CA's: %v", err)
		}
	}}
	p.follow(t, l)
	a := lives(t, l, "builtin")
	if a.Roots[0].Place != "imported" || a.Roots[0].Trusted {
		t.Errorf("the imported root: %+v", a.Roots[0])
	}
}
