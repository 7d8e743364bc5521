package agent

import (
	"crypto/x509"
	"strings"
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

// TestWhatAPersonDoesAboutARevokedIssuer: it may be ensignd itself, with a ledger of before
// the revocation. The issuer is named as `ensign revoke` wants it.
func TestWhatAPersonDoesAboutARevokedIssuer(t *testing.T) {
	authority := sdstest.New(t)
	shown := authority.Server(t, "ensignd.test")
	var chain []*x509.Certificate
	for _, der := range shown.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	out := false
	check := serverCheck{name: "ensignd.test", revoked: func(issuer *x509.Certificate) bool { return out && issuer.Equal(authority.Issuer) }}
	roots := []*x509.Certificate{authority.Root}
	if _, err := check.verify(roots, chain, time.Now()); err != nil {
		t.Errorf("nothing is revoked: %v", err)
	}
	out = true
	_, err := check.verify(roots, chain, time.Now())
	if err == nil || !strings.Contains(err.Error(), "ensign revoke --issuer "+authority.Issuer.SerialNumber.Text(16)+"`") || strings.Contains(err.Error(), "bundle.pem") {
		t.Errorf("%v", err)
	}
}
