package agent

import (
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"syscall"
	"testing"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// thief is a client whose certificate gets revoked.
type thief struct {
	t       testing.TB
	control *controlPlane
	client  tls.Certificate
	address string
}

func newThief(t testing.TB, control *controlPlane, address string) thief {
	return thief{t, control, control.authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/stolen", time.Hour)), address}
}

// crl is a list that names the thief.
func (f thief) crl(number int64, until time.Time) []byte {
	return f.control.authority.CRL(f.t, number, until, []*big.Int{f.client.Leaf.SerialNumber}, nil)
}

func (f thief) mustPass(when string) {
	f.t.Helper()
	if _, err := hello(f.control.authority, f.client, f.address); err != nil {
		f.t.Errorf("%s: %v", when, err)
	}
}

func (f thief) mustFail(when string) {
	f.t.Helper()
	// On TLS 1.3 a client may write before it hears of the refusal, and then not hear why.
	_, err := hello(f.control.authority, f.client, f.address)
	if err == nil || !(strings.Contains(err.Error(), "revoked") || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		f.t.Errorf("%s: %v; want an alert that the certificate is revoked", when, err)
	}
}

// orders sends a CutOff with CRLs, and returns the first report that passes.
func (c *controlPlane) orders(t testing.TB, revision uint64, crls [][]byte, passes func(*ensignv1.Obedience) bool) *ensignv1.Report {
	t.Helper()
	c.cutOffs <- &ensignv1.CutOff{Revision: revision, CrlRevision: revision, Crls: crls}
	return next(t, "report of obedience", c.reports, func(r *ensignv1.Report) bool {
		return r.GetObedience().GetRevision() == revision && passes(r.GetObedience())
	})
}

func obeyedCRLs(revision uint64) func(*ensignv1.Obedience) bool {
	return func(o *ensignv1.Obedience) bool { return o.GetCrlRevision() == revision && o.GetError() == "" }
}

// twisted is a list that Go reads, of which the signature is right, and that Envoy's
// library does not read: something stands behind the signature.
func twisted(t testing.TB, crl []byte) []byte {
	t.Helper()
	var list struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(crl, &list); err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
		More           int
	}{list.TBS, list.Algorithm, list.Signature, 1})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestEnvoyRefusesWhoIsOnACRL: with the CRL in ROOTCA the revoked peer is refused
// and no other; when it goes the peer is let in again. A set that is not usable, or
// that Envoy refuses, changes nothing for anybody who is not revoked. All the while
// others' live and new connections pass without a failure.
func TestEnvoyRefusesWhoIsOnACRL(t *testing.T) {
	control, config, address := withEnvoy(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	load, thief := startTraffic(t, control, address), newThief(t, control, address)
	thief.mustPass("before")
	later := time.Now().Add(time.Hour)
	first := control.orders(t, 1, [][]byte{thief.crl(1, later)}, obeyedCRLs(1))
	thief.mustFail("with the CRL")
	second := control.orders(t, 2, nil, obeyedCRLs(2))
	thief.mustPass("without it again")
	bundle := first.GetAcknowledged().GetBundle()
	if len(bundle) != 64 || second.GetAcknowledged().GetBundle() != bundle {
		t.Errorf("the bundle that is reported changed by a CRL: %v, %v", first, second)
	}
	revision := uint64(3)
	for name, crls := range map[string][][]byte{
		"that Envoy refuses": {twisted(t, thief.crl(2, later))}, "that is broken": {[]byte("no CRL")},
		"that has ended": {thief.crl(3, time.Now())}, "that is too large": {make([]byte, 2<<20)},
	} {
		report := control.orders(t, revision, crls, func(o *ensignv1.Obedience) bool { return o.GetError() != "" })
		if o := report.GetObedience(); o.GetCrlRevision() != 0 || (name == "that Envoy refuses") != strings.Contains(o.GetError(), "envoy refused") {
			t.Errorf("%s: %v", name, o)
		}
		thief.mustPass("with a CRL " + name)
		control.orders(t, revision+1, [][]byte{thief.crl(int64(revision)+4, later)}, obeyedCRLs(revision+1))
		thief.mustFail("after a CRL " + name)
		revision += 2
	}
	load.end(t)
}

// TestCRLsWhileTheControlPlaneIsAway: the agent is killed and starts again with no
// control plane: the thief stays out. A CRL ends meanwhile: everybody is served.
func TestCRLsWhileTheControlPlaneIsAway(t *testing.T) {
	control, config, address := withEnvoy(t)
	binary(t) // made before the clock runs
	var logs logBuffer
	began := time.Now()
	cmd := startBinary(t, config, &logs)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	// The next agent has to be ready before that, on a busy machine too.
	life := 10*time.Second + 5*time.Since(began)
	pid := recorded(config)
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	load, thief := startTraffic(t, control, address), newThief(t, control, address)
	ends := time.Now().Add(life)
	control.orders(t, 1, [][]byte{thief.crl(1, ends)}, obeyedCRLs(1))
	cmd.Process.Kill()
	cmd.Wait()
	control.server.Stop()
	thief.mustFail("with nobody beside Envoy")
	startAgent(t, config)
	// The control plane is there again and says nothing of who is cut off yet.
	time.Sleep(time.Second)
	control.serve(control.address)
	eventually(t, "the next agent is ready", func() bool { return ready(config) })
	thief.mustFail("with the next agent's ROOTCA")
	control.server.Stop()
	time.Sleep(time.Until(ends) + 500*time.Millisecond)
	load.end(t)
	thief.mustPass("after the end of the CRL: it is the other mechanisms' to keep it out")
}
