package daemon

import (
	"slices"
	"testing"

	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// TestWhomActivationWaitsForIsNamed: with CRLs in force the new root's issuer signs only
// when everybody has its CRL, or after half a minute; a person sees who has not.
func TestWhomActivationWaitsForIsNamed(t *testing.T) {
	p := startProcess(t, t.TempDir())
	late, stolen := enroll(p, "web-1", true), enroll(p, "web-2", true)
	school(t, late) // it follows, and never says that it has a CRL
	p.until("it has reported", func(*ensignv1.Authority) bool {
		all, err := p.admin.ListProxies(t.Context(), &ensignv1.ListProxiesRequest{})
		return err == nil && slices.ContainsFunc(all.Proxies, func(one *ensignv1.Proxy) bool { return one.Name == "shop/web-1" && one.Report.GetTrustSequence() > 0 })
	})
	if _, err := p.admin.CutOff(t.Context(), &ensignv1.CutOffRequest{Verb: "revoke", Kind: "serial", Value: stolen.svid.Leaf.SerialNumber.Text(16)}); err != nil {
		t.Fatal(err)
	}
	p.rotate()
	waits := p.until("named shop/web-1", func(a *ensignv1.Authority) bool {
		return slices.Contains(a.Issuer.Introduction.GetLaggards(), "shop/web-1")
	})
	i := waits.Issuer.Introduction
	if left := i.Until.AsTime().Sub(waits.Now.AsTime()); waits.Rotation.Step != "activating" || i.Serial == waits.Issuer.Serial || i.Waiting != 1 || left <= 0 || left > revocation.DefaultIntroduceWait {
		t.Errorf("%v, %s left, while %s", i, left, waits.Rotation.Step)
	}
	p.until("over", func(a *ensignv1.Authority) bool { return a.Issuer.Introduction == nil && a.Issuer.Serial == i.Serial })
}
