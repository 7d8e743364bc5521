package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// takeSecrets plays Envoy on the SDS socket: it takes what comes, or refuses it.
func takeSecrets(t *testing.T, config Config, refusal *rpcstatus.Status) {
	t.Helper()
	stream, err := secretv3.NewSecretDiscoveryServiceClient(socket(t, config, "sds.sock")).DeltaSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"default", "ROOTCA"}}); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{ResponseNonce: response.GetNonce(), ErrorDetail: refusal}); err != nil {
		t.Fatal(err)
	}
}

func TestReportsFollowTheAcknowledgements(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	startAgent(t, config)
	first := next(t, "first report", control.reports, func(*ensignv1.Report) bool { return true })
	if first.GetSequence() != 1 || first.GetAcknowledged() != nil || first.GetTrustSequence() != 0 || first.GetEnvoyVersion() != "" ||
		time.Since(first.GetClock().AsTime()).Abs() > time.Minute {
		t.Errorf("first report %v", first)
	}
	takeSecrets(t, config, nil)
	second := next(t, "report of the ACK", control.reports, func(r *ensignv1.Report) bool { return r.GetAcknowledged() != nil })
	control.set(func() {
		state := second.GetAcknowledged()
		if state.GetSerial() != control.leaves[0].SerialNumber.Text(16) || len(state.GetFingerprint()) != 64 || len(state.GetBundle()) != 64 ||
			time.Since(state.GetAcknowledgedAt().AsTime()) > time.Minute {
			t.Errorf("acknowledged %v", state)
		}
	})
	takeSecrets(t, config, &rpcstatus.Status{Code: 3, Message: "cannot load"})
	third := next(t, "report of the NACK", control.reports, func(r *ensignv1.Report) bool { return r.GetSecretError() != "" })
	if !strings.Contains(third.GetSecretError(), "default: cannot load") || third.GetSequence() <= second.GetSequence() {
		t.Errorf("%v", third)
	}
}

// A report names the Trust whose roots Envoy has: none before it was told any or without
// an Envoy; the next one, though that changes nothing that Envoy would be sent.
func TestAReportNamesTheTrust(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	startAgent(t, config)
	next(t, "first report", control.reports, func(*ensignv1.Report) bool { return true })
	control.tells(word(3, control.authority))
	told := next(t, "report without an Envoy", control.reports, func(*ensignv1.Report) bool { return true })
	if told.GetTrustSequence() != 0 || told.GetAcknowledged().GetBundle() != "" {
		t.Errorf("%v", told)
	}
	takeSecrets(t, config, nil)
	hash := hashOf(control.authority)
	named := func(sequence uint64) func(*ensignv1.Report) bool {
		return func(r *ensignv1.Report) bool {
			return r.GetTrustSequence() == sequence && r.GetAcknowledged().GetBundle() == hash
		}
	}
	next(t, "report of the bundle", control.reports, named(3))
	control.tells(word(5, control.authority))
	next(t, "report of the same by another word", control.reports, named(5))
	control.tells(word(6, control.authority, sdstest.New(t))) // Envoy does not answer
	next(t, "report of doubt", control.reports, func(r *ensignv1.Report) bool {
		return r.GetTrustSequence() == 0 && r.GetAcknowledged().GetBundle() == ""
	})
}

func TestAReportIsRepeatedUntilItIsStored(t *testing.T) {
	control := newControlPlane(t)
	control.deaf = true
	startAgent(t, control.config(t))
	first := next(t, "report", control.reports, func(*ensignv1.Report) bool { return true })
	again := next(t, "repetition", control.reports, func(*ensignv1.Report) bool { return true })
	if again.GetSequence() != first.GetSequence()+1 {
		t.Errorf("report %d follows %d", again.GetSequence(), first.GetSequence())
	}
	if gap := again.GetClock().AsTime().Sub(first.GetClock().AsTime()); gap < storedWithin/2 || gap > storedWithin*3/2 {
		t.Errorf("repeated after %s", gap)
	}
}

func TestAReportFollowsALostControlPlane(t *testing.T) {
	control := newControlPlane(t)
	startAgent(t, control.config(t))
	before := next(t, "report", control.reports, func(*ensignv1.Report) bool { return true })
	control.server.Stop()
	control.serve(control.address)
	after := next(t, "report after the loss", control.reports, func(r *ensignv1.Report) bool { return r.GetSequence() > before.GetSequence() })
	if after.GetNodeId() != before.GetNodeId() {
		t.Errorf("%v", after)
	}
}

func TestQueriesWithoutEnvoyAreRefused(t *testing.T) {
	control := newControlPlane(t)
	startAgent(t, control.config(t))
	for _, page := range []ensignv1.EnvoyPage{ensignv1.EnvoyPage_ENVOY_PAGE_CERTS, ensignv1.EnvoyPage_ENVOY_PAGE_UNSPECIFIED, 99} {
		control.queries <- &ensignv1.EnvoyQuery{Id: uint64(page), Page: page}
		answer := next(t, "answer", control.answers, func(*ensignv1.EnvoyAnswer) bool { return true })
		if answer.GetError() == "" || !answer.GetLast() || answer.GetId() != uint64(page) {
			t.Errorf("%v", answer)
		}
	}
}

// What Envoy shows and is not of our making is shown too, and looks like nothing
// that a gate could take for a good certificate.
func TestAForeignCertificateIsReportedBySerial(t *testing.T) {
	r := &reporter{fingerprintOf: func(serial string) string { return map[string]string{"1a": "feed"}[serial] }}
	if got := r.fingerprints([]string{"1a", "2b"}); !slices.Equal(got, []string{"feed", "serial:2b"}) {
		t.Errorf("%v", got)
	}
}

func TestServedCertificatesAreReadFromEnvoy(t *testing.T) {
	page := `{"certificates": [
	  {"ca_cert": [{"serial_number": "ff"}], "cert_chain": [{"serial_number": "0A1B"}, {"serial_number": "99"}]},
	  {"ca_cert": [], "cert_chain": [{"serial_number": "0a1b"}]}, {"cert_chain": []}, {"cert_chain": [{"serial_number": "07"}]}]}`
	if got, err := parseCerts([]byte(page)); err != nil || !slices.Equal(got, []string{"7", "a1b"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"certificates": [{"cert_chain": [{"serial_number": "x"}]}]}`} {
		if got, err := parseCerts([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// An admin port that hangs, breaks off or lies costs a field of the report, not
// the report.
func TestAnUnreadableEnvoyIsSilence(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		fmt.Fprint(w, map[string]string{"/server_info": `{"version": "c0ffee/1.40.0/Clean/RELEASE/BoringSSL"}`, "/certs": "not JSON"}[r.URL.Path])
	}))
	defer server.Close()
	r := &reporter{admin: newAdminPort(server.Listener.Addr().String()), envoy: true, logger: testLogger(t)}
	if version, served := r.look(context.Background()); version != "1.40.0" || served != nil {
		t.Errorf("%q, %v", version, served)
	}
	server.Close()
	if version, served := r.look(context.Background()); version != "" || served != nil || calls.Load() != 2 {
		t.Errorf("%q, %v after %d calls", version, served, calls.Load())
	}
}
