package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

func TestSignCRL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		issued := must(issue(t, mesh.Service, csr))
		issuer := issued.Issuers[0]
		serial := issuer.SerialNumber.Text(16)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go mesh.Service.Run(ctx)
		for _, age := range []time.Duration{0, 24 * time.Hour, 4 * 24 * time.Hour} { // at last retired
			time.Sleep(age)
			now := time.Now()
			entry := x509.RevocationListEntry{SerialNumber: issued.Leaf.SerialNumber, RevocationTime: now}
			crl := must(x509.ParseRevocationList(must(mesh.Service.SignCRL(serial, big.NewInt(7), []x509.RevocationListEntry{entry}))))
			if err := crl.CheckSignatureFrom(issuer); err != nil {
				t.Error(err)
			}
			if !crl.NextUpdate.Equal(issuer.NotAfter.Add(ca.CRLOverlap)) || crl.ThisUpdate.After(now.Add(-ca.Backdate+time.Second)) || crl.ThisUpdate.Before(issuer.NotBefore) {
				t.Errorf("at %s: valid %s to %s", now, crl.ThisUpdate, crl.NextUpdate)
			}
			if got := mesh.Service.Introduced(serial); got == nil || !got.Equal(issuer) {
				t.Errorf("at %s: introduced %v", now, got)
			}
			if crl.Number.Int64() != 7 || len(crl.RevokedCertificateEntries) != 1 || crl.RevokedCertificateEntries[0].SerialNumber.Cmp(issued.Leaf.SerialNumber) != 0 {
				t.Errorf("number %d, entries %v", crl.Number, crl.RevokedCertificateEntries)
			}
		}
		if must(issue(t, mesh.Service, csr)).Issuers[0].Equal(issuer) {
			t.Fatal("the issuer was not retired, so that nothing was shown")
		}
		time.Sleep(time.Until(issuer.NotAfter))
		for _, gone := range []string{serial, "77", ""} {
			if _, err := mesh.Service.SignCRL(gone, big.NewInt(8), nil); !errors.Is(err, ca.ErrIssuerKeyGone) {
				t.Errorf("issuer %q: %v", gone, err)
			}
			if got := mesh.Service.Introduced(gone); gone != serial && got != nil {
				t.Errorf("issuer %q: introduced %v", gone, got)
			}
		}
	})
}
