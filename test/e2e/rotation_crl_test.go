package e2e

import (
	"fmt"
	"testing"

	"github.com/ensign-mesh/ensign/test/lab"
)

// While CRLs are in force, Envoys want one of every issuer that they meet, of either
// root: nobody is refused for the want of one, there and back.
func TestTheRootIsReplacedWhileCRLsAreInForce(t *testing.T) {
	l := rotationMesh(t)
	stolen, err := l.Pod("aside").StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := l.Ensign(t.Context(), "revoke", "--serial", stolen.Leaf.SerialNumber.Text(16), "--reason", "test", "--wait"); r.Code != 0 {
		t.Fatal(r.Output)
	}
	eventually(t, func() error { return checksCRLs(t, l, 1) })
	allSynced(t, l)
	underLoad(t, l, func() {
		for _, way := range [][]string{{"rotate", "root", "--via", "vault", "--window", "2s"}, {"rollback", "--reason", "test"}} {
			rotated(t, l, nil, way...)
			if err := checksCRLs(t, l, 2); err != nil {
				t.Error(err)
			}
		}
	})
}

// checksCRLs wants at least so many CRLs to be in force, and every agent to have its
// Envoy check against them.
func checksCRLs(t *testing.T, l *lab.Lab, least float64) error {
	t.Helper()
	inForce, err := l.Control.Metric(t.Context(), "ensign_crl_in_force")
	if err != nil {
		return err
	}
	if inForce < least {
		return fmt.Errorf("%.0f CRLs are in force, want %.0f: this test does not test what it says", inForce, least)
	}
	for _, p := range l.Sidecars() {
		if n, err := p.Metric(t.Context(), "ensign_agent_crls"); err != nil || n < least {
			return fmt.Errorf("the agent of %s has its Envoy check %.0f CRLs, %v; want %.0f", p.Name, n, err, least)
		}
	}
	return nil
}
