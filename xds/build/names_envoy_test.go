package build

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// IDs that look like a service account's and are none, beside some that are one.
var oddIDs = []string{
	"", aliceID, "spiffe://td/ns/shopping/sa/alice", "spiffe://td/ns/ops/sa/shop", "spiffe://td/ns/shop", "spiffe://td/ns/shop/sa",
	"spiffe://td/ns/shop/sa/alice/x", "spiffe://td/x/ns/shop/sa/alice", "spiffe://td/NS/shop/sa/alice", "spiffe://td/ns/x/ns/shop/sa/alice",
}

// Sources that ask for names in every way.
var oddSources = []authz.Source{
	{Principals: []string{"td/ns/shop/sa/alice"}}, {Principals: []string{"td/ns/shop*"}}, {Principals: []string{"*/alice"}},
	{Principals: []string{"*"}}, {Principals: []string{"*/td/ns/shop/sa/alice"}}, {Principals: []string{"*//td/ns/shop/sa/alice"}},
	{Principals: []string{"*/ns/shop/sa/alice"}}, {NotPrincipals: []string{"*/td/ns/shop/sa/alice", "td/ns/ops/*"}}, {NotPrincipals: []string{"*"}},
	{Namespaces: []string{"shop"}}, {Namespaces: []string{"sh*"}}, {Namespaces: []string{"*op"}}, {Namespaces: []string{"*"}},
	{Namespaces: []string{"shop/sa/al*"}}, {NotNamespaces: []string{"shop"}}, {NotNamespaces: []string{"*p*"}},
	{ServiceAccounts: []string{"shop/alice"}}, {NotServiceAccounts: []string{"shop/alice", "ops/shop"}},
}

// An ID that only looks like a service account's gets through no ALLOW and slips
// by no DENY: Envoy decides as authz does for each name and each ID.
func TestOddIDs(t *testing.T) {
	web := application(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}},
	}
	s := startSidecar(t, in)
	for _, id := range oddIDs {
		if id != "" {
			s.configs[id] = s.as(id, "istio")
		}
	}
	for _, action := range []authz.Action{authz.Allow, authz.Deny} {
		for _, source := range oddSources {
			next := *in
			next.Policies = []*authz.Policy{{Namespace: "shop", Name: "p", Action: action, Rules: []authz.Rule{{From: []authz.Source{source}}}}}
			s.control.await(t, TypeExtension, s.takeFilters(&next))
			rules, _ := authz.Compile(next.Policies)
			for _, id := range oddIDs {
				s.checkID(t, fmt.Sprintf("%s %+v", action, source), rules, web, id)
			}
		}
	}
}

func (s *sidecar) checkID(t *testing.T, what string, rules *authz.Ruleset, port uint32, id string) {
	t.Helper()
	r := authz.Request{HTTP: true, Host: "web", Method: "GET", Path: "/", DestinationPort: port}
	var config *tls.Config
	if id != "" {
		r.Peer, config = spiffeid.RequireFromString(id), s.configs[id]
	}
	got, _ := s.try(port, config, nil)
	if !strings.HasPrefix(got, "200") && !strings.HasPrefix(got, "403") {
		t.Fatalf("%s, %q: %s", what, id, got)
	}
	if want := rules.Evaluate(r); strings.HasPrefix(got, "200") != want.Allowed {
		t.Errorf("%s, %q: Envoy says %s, authz %s", what, id, got, want)
	}
}
