package federation_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/federation"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// TestTheEndpointsSVIDIsReplacedInTime: at half of its life, after a failure once a
// minute; the one before is shown as long.
func TestTheEndpointsSVIDIsReplacedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		f := &trust{}
		f.set(t, mesh, mesh)
		self := federation.NewSelf(f)
		issued := func() int { return len(mesh.Ledger.Entries(ca.KindServer)) }
		look := func() error {
			roots, _, _ := f.Trust()
			c, err := self.Certificate(t.Context(), roots)
			if c == nil {
				t.Fatal("nothing is shown")
			}
			return err
		}
		for range 10 {
			if err := look(); err != nil || issued() != 1 {
				t.Fatalf("%d issued, %v", issued(), err)
			}
			time.Sleep(time.Hour)
		}
		mesh.Ledger.Fail(errors.New("disk full"))
		time.Sleep(3 * time.Hour)
		for range 7 {
			if err := look(); !errors.Is(err, ca.ErrLedger) {
				t.Fatalf("without the ledger: %v", err)
			}
			time.Sleep(10 * time.Second)
		}
		mesh.Ledger.Fail(nil)
		if err := look(); err == nil {
			t.Error("tried again within the minute")
		}
		time.Sleep(time.Minute)
		if err := look(); err != nil || issued() != 2 {
			t.Errorf("%d issued, %v", issued(), err)
		}
	})
}

// TestAnSVIDOfNoTrustedRootIsNotShown: not when the CA is late, nor often asked for.
func TestAnSVIDOfNoTrustedRootIsNotShown(t *testing.T) {
	trusted, late := catest.NewMesh(t, nil), catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, late, trusted)
	self := federation.NewSelf(f)
	roots, _, _ := f.Trust()
	for range 5 {
		if c, err := self.Certificate(t.Context(), roots); c != nil || err == nil {
			t.Errorf("shows one: %t, %v", c != nil, err)
		}
	}
	if n := len(late.Ledger.Entries(ca.KindServer)); n != 1 {
		t.Errorf("%d were issued in vain", n)
	}
}
