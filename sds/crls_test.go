package sds_test

import (
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

type deltaClient = secretv3.SecretDiscoveryService_DeltaSecretsClient

// roots is the one secret of an answer, which must be ROOTCA.
func roots(t *testing.T, response *discoveryv3.DeltaDiscoveryResponse) (version string, context *tlsv3.CertificateValidationContext) {
	t.Helper()
	var secret tlsv3.Secret
	if len(response.GetResources()) != 1 || response.GetResources()[0].GetResource().UnmarshalTo(&secret) != nil || secret.GetName() != "ROOTCA" {
		t.Fatalf("not one ROOTCA: %v", response)
	}
	return response.GetResources()[0].GetVersion(), secret.GetValidationContext()
}

func ack(t *testing.T, stream deltaClient, response *discoveryv3.DeltaDiscoveryResponse, refusal *rpcstatus.Status) {
	t.Helper()
	sendDelta(t, stream, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: response.GetNonce(), ErrorDetail: refusal})
}

// withRoots is a server whose one client has taken ROOTCA.
func withRoots(t *testing.T) (*served, *sds.SVID, deltaClient) {
	t.Helper()
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	stream := s.delta(t, subscribe("ROOTCA"))
	ack(t, stream, receiveDelta(t, stream), nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == svid.Bundle() })
	return s, svid, stream
}

func (s *served) crl(t *testing.T, number int64, until time.Time, serials ...*big.Int) []byte {
	t.Helper()
	return s.signer.authority.CRL(t, number, until, serials, nil)
}

// CRLs come with the bundle, are acknowledged with it, and go again; what is
// reported of the bundle never changes by them.
func TestCRLsComeAndGoWithTheBundle(t *testing.T) {
	s, svid, stream := withRoots(t)
	crl := s.crl(t, 1, time.Now().Add(time.Hour), big.NewInt(7))
	s.server.SetCRLs(4, [][]byte{crl})
	response := receiveDelta(t, stream)
	version, context := roots(t, response)
	block, rest := pem.Decode(context.GetCrl().GetInlineBytes())
	if version == svid.Bundle() || !context.GetOnlyVerifyLeafCertCrl() || block == nil || block.Type != "X509 CRL" ||
		string(block.Bytes) != string(crl) || len(rest) > 0 || len(context.GetTrustedCa().GetInlineBytes()) == 0 {
		t.Errorf("version %s, context %v", version, context)
	}
	if state, _ := s.server.Acknowledged(); state.CRLRevision != 0 || state.Bundle != svid.Bundle() {
		t.Errorf("before the ACK: %+v", state)
	}
	ack(t, stream, response, nil)
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 4 })
	if state.Bundle != svid.Bundle() || state.CRLError != "" || state.Error != "" {
		t.Errorf("%+v", state)
	}
	// The same content under a new number is obeyed without a word to Envoy.
	s.server.SetCRLs(5, [][]byte{crl})
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 5 })
	s.server.SetCRLs(6, nil)
	response = receiveDelta(t, stream)
	if version, context := roots(t, response); version != svid.Bundle() || context.GetCrl() != nil || context.GetOnlyVerifyLeafCertCrl() {
		t.Errorf("after the release: version %s, context %v", version, context)
	}
	if state, _ := s.server.Acknowledged(); state.CRLRevision != 5 {
		t.Errorf("the newest is not taken yet, and reported is %d", state.CRLRevision)
	}
	ack(t, stream, response, nil)
	if state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 6 }); state.Bundle != svid.Bundle() {
		t.Errorf("%+v", state)
	}
}

// A control plane that counts from a lower number is obeyed, and nothing that was
// taken under a higher one passes for it.
func TestALowerRevisionOfCRLsIsNotTakenBeforeItIs(t *testing.T) {
	s, _, stream := withRoots(t)
	s.server.SetCRLs(9, nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 9 })
	s.server.SetCRLs(5, [][]byte{s.crl(t, 1, time.Now().Add(time.Hour))})
	response := receiveDelta(t, stream)
	if state, _ := s.server.Acknowledged(); state.CRLRevision != 0 {
		t.Errorf("before the ACK: %+v", state)
	}
	ack(t, stream, response, nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 5 })
}

// What is in doubt is left out, wherever the doubt comes from: from the set itself,
// from the issuer that we know, from Envoy. Bundle and certificate stay served.
func TestCRLsInDoubtBlockNothing(t *testing.T) {
	later := time.Now().Add(time.Hour)
	spoil := map[string]func(*served) [][]byte{
		"broken":  func(s *served) [][]byte { return [][]byte{s.crl(t, 2, later), []byte("no CRL")} },
		"expired": func(s *served) [][]byte { return [][]byte{s.crl(t, 2, time.Now())} },
		"2 MiB":   func(s *served) [][]byte { return [][]byte{make([]byte, 2<<20)} },
		"forged":  func(*served) [][]byte { return [][]byte{sdstest.New(t).CRL(t, 2, later, nil, nil)} },
	}
	for name, lists := range spoil {
		t.Run(name, func(t *testing.T) {
			s, svid, stream := withRoots(t)
			s.server.SetCRLs(3, [][]byte{s.crl(t, 1, later)})
			ack(t, stream, receiveDelta(t, stream), nil)
			s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 3 })
			s.server.SetCRLs(4, lists(s))
			response := receiveDelta(t, stream)
			if version, context := roots(t, response); version != svid.Bundle() || context.GetCrl() != nil {
				t.Errorf("version %s, context %v", version, context)
			}
			ack(t, stream, response, nil)
			state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLError != "" })
			if state.CRLRevision != 0 || state.Bundle != svid.Bundle() || state.Error != "" {
				t.Errorf("%+v", state)
			}
			fresh := s.delta(t, subscribe("default", "ROOTCA"))
			if got := versions(receiveDelta(t, fresh)); got["ROOTCA"] != svid.Bundle() || got["default"] != svid.Fingerprint() {
				t.Errorf("a new stream gets %v", got)
			}
			s.obeys(t, stream, 5)
		})
	}
}

// A CRL that Envoy refuses is taken back at once, for all streams.
func TestANACKOfCRLsFallsBack(t *testing.T) {
	s, svid, stream := withRoots(t)
	s.server.SetCRLs(4, [][]byte{s.crl(t, 1, time.Now().Add(time.Hour))})
	ack(t, stream, receiveDelta(t, stream), &rpcstatus.Status{Code: 13, Message: "Failed to load CRL"})
	response := receiveDelta(t, stream)
	if version, _ := roots(t, response); version != svid.Bundle() {
		t.Errorf("after the NACK comes %s", version)
	}
	ack(t, stream, response, nil)
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLError != "" && a.Error == "" })
	if !strings.Contains(state.CRLError, "Failed to load CRL") || state.CRLRevision != 0 || state.Bundle != svid.Bundle() {
		t.Errorf("%+v", state)
	}
	s.obeys(t, stream, 5)
}

// obeys: a set that is whole again is taken at once.
func (s *served) obeys(t *testing.T, stream deltaClient, revision uint64) {
	t.Helper()
	s.server.SetCRLs(revision, [][]byte{s.crl(t, int64(revision), time.Now().Add(time.Hour))})
	response := receiveDelta(t, stream)
	if version, context := roots(t, response); !strings.Contains(version, "+crl:") || context.GetCrl() == nil {
		t.Errorf("version %s, context %v", version, context)
	}
	ack(t, stream, response, nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == revision && a.CRLError == "" })
}

// The control plane is away and a CRL ends: from then on Envoy would refuse
// everybody of that issuer.
func TestCRLsEndWithTheFirstOfThem(t *testing.T) {
	s, svid, stream := withRoots(t)
	s.server.SetCRLs(4, [][]byte{s.crl(t, 1, time.Now().Add(8*time.Second))})
	ack(t, stream, receiveDelta(t, stream), nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 4 })
	response := receiveDelta(t, stream)
	if version, _ := roots(t, response); version != svid.Bundle() {
		t.Errorf("at the end comes %s", version)
	}
	ack(t, stream, response, nil)
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 0 })
	if !strings.Contains(state.CRLError, "ends at") {
		t.Errorf("%+v", state)
	}
	s.obeys(t, stream, 5)
}

// A new SVID while CRLs are in force keeps them in ROOTCA.
func TestARenewalKeepsTheCRLs(t *testing.T) {
	s := serveSecrets(t, 4*time.Second)
	s.server.SetCRLs(1, [][]byte{s.crl(t, 1, time.Now().Add(time.Hour))})
	s.run(t)
	stream := s.delta(t, subscribe("default", "ROOTCA"))
	first := versions(receiveDelta(t, stream))
	renewed := versions(receiveDelta(t, stream))
	if !strings.Contains(first["ROOTCA"], "+crl:") || renewed["default"] == "" || len(renewed) != 1 {
		t.Errorf("first %v, then %v", first, renewed)
	}
	reconnected := s.delta(t, &discoveryv3.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"ROOTCA", "default"}, InitialResourceVersions: map[string]string{"ROOTCA": first["ROOTCA"]},
	})
	if got := versions(receiveDelta(t, reconnected)); len(got) != 1 || got["default"] == "" {
		t.Errorf("after a reconnect %v", got)
	}
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.CRLRevision == 1 })
}
