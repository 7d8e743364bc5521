package sds

import (
	"log/slog"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// sink is a stream that swallows what is sent, and checks it.
type sink struct {
	secretv3.SecretDiscoveryService_DeltaSecretsServer
	t *testing.T
}

func (s sink) Send(response *discoveryv3.DeltaDiscoveryResponse) error {
	if len(response.GetResources()) > 2 || len(response.GetRemovedResources()) > maxNames {
		s.t.Errorf("%d resources, %d removed", len(response.GetResources()), len(response.GetRemovedResources()))
	}
	return nil
}

// FuzzDeltaRequest: whatever two requests say, the stream answers within its
// limits or refuses.
func FuzzDeltaRequest(f *testing.F) {
	authority := sdstest.New(f)
	e := expect(f)
	svid, err := e.accept(authority.IssueFor(f, e.key.Public(), sdstest.Leaf(answerID, time.Hour)))
	if err != nil {
		f.Fatal(err)
	}
	of := ingredients{svid: svid, roots: &rootSet{roots: svid.Roots, hash: svid.Bundle()}, crls: &crlSet{}}
	current, err := of.secrets()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []*discoveryv3.DeltaDiscoveryRequest{
		{ResourceNamesSubscribe: []string{"default", "ROOTCA"}},
		{ResponseNonce: "1"},
		{ResourceNamesUnsubscribe: []string{"default"}, InitialResourceVersions: map[string]string{"ROOTCA": svid.Bundle()}},
	} {
		text, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		server := NewServer(NewSource(SourceConfig{}), nil, slog.New(slog.DiscardHandler))
		d := &delta{subscription: server.subscribe(), stream: sink{t: t}}
		for _, text := range [][]byte{first, second} {
			var request discoveryv3.DeltaDiscoveryRequest
			if proto.Unmarshal(text, &request) != nil || d.take(&request) != nil || d.push(current) != nil {
				return
			}
		}
		if len(d.names) > 2 || len(d.client) > 2 || len(d.waiting) > maxUnanswered {
			t.Errorf("the stream grew: %v %v %d", d.names, d.client, len(d.waiting))
		}
	})
}
