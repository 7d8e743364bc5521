package runbooks

import (
	"fmt"
	"os"
	"strings"
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
	var end func()
	p := play{
		book: "import-istio-ca", choose: []string{"the CA has path length 0"},
		variables: []string{"CACERTS=" + cacerts(t, between, root), "ISSUER=" + between.cert.SerialNumber.Text(16)},
	}
	p.before = map[string]func(*lab.Shell){
		"for try in $(seq 60); do ensign proxy": func(*lab.Shell) {
			populate(t, l)
			cert, err := l.Pod("reader").StealKey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := cert.Leaf.CheckSignatureFrom(between.cert); err != nil {
				t.Errorf("before the rotation an SVID is not Istio's CA's: %v", err)
			}
		},
		"ensign revoke --issuer $ISSUER --plan": func(*lab.Shell) {
			revokedWithoutCRL(t, l)
			end = traffic(t, l)
		},
	}
	p.after = map[string]func(*lab.Shell){"--wait=1m": func(*lab.Shell) {
		eventually(t, func() error { return checksCRL(t, l) })
		time.Sleep(time.Second) // requests after all obey
		end()
	}}
	p.follow(t, l)
	a := lives(t, l, "builtin")
	if a.Roots[0].Place != "imported" || a.Roots[0].Trusted {
		t.Errorf("the imported root: %+v", a.Roots[0])
	}
}

// revokedWithoutCRL revokes somebody, whom no CRL can list: the CA that was left lives
// on, and can sign none.
func revokedWithoutCRL(t *testing.T, l *lab.Lab) {
	t.Helper()
	cert, err := l.Pod("ratings").StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, l, "revoke", "--serial", cert.Leaf.SerialNumber.Text(16), "--reason", "test", "--wait=1m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return check(t, l, "proxy", "status", "--check") })
	if r := l.Ensign(t.Context(), "revocation", "list"); !strings.Contains(r.Output, "CRLs: not in force: issuer") {
		t.Errorf("CRLs are in force, or nobody says why not, before the CA is revoked:\n%s", r.Output)
	}
	if err := checksCRL(t, l); err == nil {
		t.Error("CRLs are in force before the CA is revoked: this test does not test what it says")
	}
}

// checksCRL wants every agent to have its Envoy check against a CRL.
func checksCRL(t *testing.T, l *lab.Lab) error {
	t.Helper()
	for _, p := range l.Sidecars() {
		if n, err := p.Metric(t.Context(), "ensign_agent_crls"); err != nil || n < 1 {
			return fmt.Errorf("the agent of %s has its Envoy check %.0f CRLs, %v", p.Name, n, err)
		}
	}
	return nil
}
