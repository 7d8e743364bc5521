package sds_test

import (
	"context"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/sds"
)

type worldClient struct {
	t      *testing.T
	stream secretv3.SecretDiscoveryService_StreamSecretsClient
}

func (s *served) world(t *testing.T, names ...string) *worldClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := s.client.StreamSecrets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := &worldClient{t, stream}
	w.ask(nil, nil, names...)
	return w
}

// ask subscribes to names; with an answer, it acknowledges it, or refuses it.
func (w *worldClient) ask(answer *discoveryv3.DiscoveryResponse, refusal *rpcstatus.Status, names ...string) {
	w.t.Helper()
	request := &discoveryv3.DiscoveryRequest{
		TypeUrl: secretType, ResourceNames: names, VersionInfo: answer.GetVersionInfo(), ResponseNonce: answer.GetNonce(), ErrorDetail: refusal,
	}
	if err := w.stream.Send(request); err != nil {
		w.t.Fatal(err)
	}
}

func (w *worldClient) receive() *discoveryv3.DiscoveryResponse {
	w.t.Helper()
	response, err := w.stream.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	return response
}

func TestStateOfTheWorldServesAndTakesTheACK(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	w := s.world(t, "default", "ROOTCA", "unknown")
	response := w.receive()
	if len(response.GetResources()) != 2 || response.GetVersionInfo() != svid.Fingerprint()+"+"+svid.Bundle() {
		t.Errorf("%d resources, version %s", len(response.GetResources()), response.GetVersionInfo())
	}
	w.ask(response, nil, "default", "ROOTCA", "unknown")
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Serial == svid.Serial() && a.Bundle == svid.Bundle() })
}

func TestStateOfTheWorldSendsARenewal(t *testing.T) {
	s := serveSecrets(t, 4*time.Second)
	s.run(t)
	w := s.world(t, "default")
	first := w.receive()
	w.ask(first, nil, "default")
	second := w.receive()
	if second.GetVersionInfo() == first.GetVersionInfo() {
		t.Error("the same version again")
	}
	w.ask(second, &rpcstatus.Status{Message: "no"}, "default")
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Error != "" })
	if state.Fingerprint != first.GetVersionInfo() {
		t.Errorf("a refused secret counts as taken: %+v", state)
	}
}

// A request that answers an older answer says nothing, not even what it names.
func TestAStaleNonceIsIgnored(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	w := s.world(t, "default")
	first := w.receive()
	w.ask(&discoveryv3.DiscoveryResponse{Nonce: "of another stream"}, nil, "ROOTCA")
	w.ask(first, nil, "default", "ROOTCA")
	if response := w.receive(); len(response.GetResources()) != 2 {
		t.Errorf("%d resources, want 2", len(response.GetResources()))
	}
}

func TestFetchIsNotServed(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	_, err := s.client.FetchSecrets(t.Context(), &discoveryv3.DiscoveryRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("%v, want Unimplemented", err)
	}
}
