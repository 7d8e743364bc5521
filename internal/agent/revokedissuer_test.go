package agent

import (
	"testing"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// TestARevokedIssuerIsNoProofOfTheControlPlane: the thief of its key, who stands between an
// agent that was told so and ensignd, gets no token and gives no roots.
func TestARevokedIssuerIsNoProofOfTheControlPlane(t *testing.T) {
	control := newControlPlane(t)
	issuer := control.authority.Issuer
	control.trust = word(3, control.authority)
	control.cutOff = &ensignv1.CutOff{Revision: 1, Issuers: []*ensignv1.CutIssuer{{Serial: issuer.SerialNumber.Text(16), Subject: issuer.Subject.String()}}}
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent keeps who is cut off", func() bool {
		kept, err := cutOffFile(config.RunDir + "/cutoff").load()
		return err == nil && len(kept.GetIssuers()) == 1
	})
	control.server.Stop()
	thief := sdstest.New(t)
	control.set(func() { control.trust, control.proofs = word(9, control.authority, thief), nil })
	control.serve(control.address) // by the same issuer
	time.Sleep(3 * time.Second)    // it comes back within half of one
	if got := keptHash(t, config); got != hashOf(control.authority) {
		t.Error("the agent and its Envoy trust the thief's root")
	}
}
