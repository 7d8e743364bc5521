package build

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// deny cuts off whom it names, and waits until Envoy says that it does.
func (s *sidecar) deny(t testing.TB, in *mesh.Inbound, d *mesh.Denied) {
	t.Helper()
	s.snap.Denied = d
	s.control.await(t, TypeExtension, s.take(t, in))
}

func digestOf(c *tls.Config) string {
	sum := sha256.Sum256(c.Certificates[0].Certificate[0])
	return hex.EncodeToString(sum[:])
}

// keeping is a client that keeps its one connection, by HTTP/1.1 or 2.
func (s *sidecar) keeping(port uint32, config *tls.Config, h2 bool) *http.Client {
	c := s.client(port, config)
	transport := c.Transport.(*http.Transport)
	transport.DisableKeepAlives = false
	transport.MaxConnsPerHost = 1
	if h2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true) // the dialler does TLS
	}
	return c
}

func statusOf(t testing.TB, c *http.Client) int {
	t.Helper()
	resp, err := c.Get("http://web/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Whoever is denied, by certificate or identity, is refused on connections that
// live and on new ones; the same identity with another certificate is not, nor
// is anybody without one.
func TestDenialsBiteEverywhere(t *testing.T) {
	web, tcp, silent := application(t), talker(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	thief, owner := s.as(aliceID, "istio"), s.as(aliceID, "istio")
	thief2, owner2 := s.as(aliceID, "istio", "h2"), s.as(aliceID, "istio", "h2")
	thief2.Certificates, owner2.Certificates = thief.Certificates, owner.Certificates
	live := map[string]*http.Client{
		"thief": s.keeping(web, thief, false), "thief by HTTP/2": s.keeping(web, thief2, true),
		"owner": s.keeping(web, owner, false), "owner by HTTP/2": s.keeping(web, owner2, true), "plaintext": s.keeping(web, nil, false),
	}
	expect := func(when string, want func(name string) int) {
		t.Helper()
		for name, c := range live {
			if got := statusOf(t, c); got != want(name) {
				t.Errorf("%s: live %s: %d", when, name, got)
			}
		}
		for name, config := range map[string]*tls.Config{"thief": thief, "owner": owner, "plaintext": nil} {
			if got, _ := s.try(web, config, nil); !strings.HasPrefix(got, fmt.Sprint(want(name))) {
				t.Errorf("%s: new %s: %s", when, name, got)
			}
			for kind, port := range map[string]uint32{"served": tcp, "unserved": silent} {
				if config == nil && when != "certificate denied" {
					continue // it takes Envoy 2 s to see that no TLS comes
				}
				if got := s.greet(t, port, config, true); strings.Contains(got, "ping") != (want(name) == 200) {
					t.Errorf("%s: %s to the %s TCP port: %q", when, name, kind, got)
				}
			}
		}
	}
	all := func(string) int { return 200 }
	expect("before", all)
	s.deny(t, in, &mesh.Denied{Digests: []string{strings.Repeat("00", 32), digestOf(thief), strings.Repeat("ff", 32)}})
	expect("certificate denied", func(name string) int {
		if strings.HasPrefix(name, "thief") {
			return 403
		}
		return 200
	})
	s.deny(t, in, &mesh.Denied{})
	expect("let in again", all)
	s.deny(t, in, &mesh.Denied{Identities: []string{aliceID}})
	expect("identity denied", func(name string) int {
		if name == "plaintext" {
			return 200
		}
		return 403
	})
}

// The workload of an identity in quarantine lets nobody in, with or without TLS,
// on connections that live or new ones.
func TestQuarantinedWorkloadServesNobody(t *testing.T) {
	web, tcp := application(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	alice := s.as(aliceID, "istio")
	live := s.keeping(web, alice, false)
	if got := statusOf(t, live); got != 200 {
		t.Fatalf("before: %d", got)
	}
	closed := *in
	closed.Quarantined = true
	s.control.await(t, TypeExtension, s.take(t, &closed))
	if resp, err := live.Get("http://web/"); err == nil && resp.StatusCode != 403 {
		t.Errorf("live: %s", resp.Status)
	}
	for name, config := range map[string]*tls.Config{"mTLS": alice, "plaintext": nil} {
		if got, _ := s.try(web, config, nil); strings.HasPrefix(got, "200") {
			t.Errorf("HTTP by %s: %s", name, got)
		}
		if got := s.greet(t, tcp, config, true); strings.Contains(got, "ping") || strings.Contains(got, "hello") {
			t.Errorf("TCP by %s: %q", name, got)
		}
	}
	s.control.await(t, TypeExtension, s.take(t, in))
	eventually(t, "released", func() bool { got, _ := s.try(web, alice, nil); return strings.HasPrefix(got, "200") })
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// All leaves of a denied issuer are refused, on connections that live, also when
// nothing was said on them yet, and on new ones; those of an issuer whose name
// only begins alike are not.
func TestADeniedIssuerIsDeniedWithAllItsLeaves(t *testing.T) {
	web, tcp := application(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	alice := s.as(aliceID, "istio")
	leaf, err := x509.ParseCertificate(alice.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	subject := leaf.Issuer.String()
	live := s.keeping(web, alice, false)
	s.deny(t, in, &mesh.Denied{Issuers: []string{subject + "x", subject[:len(subject)-1], "x" + subject}})
	if got := statusOf(t, live); got != 200 {
		t.Fatalf("another issuer is denied: %d", got)
	}
	s.deny(t, in, &mesh.Denied{Issuers: []string{subject}})
	if got := statusOf(t, live); got != 403 {
		t.Errorf("live: %d", got)
	}
	if got, _ := s.try(web, alice, nil); !strings.HasPrefix(got, "403") {
		t.Errorf("new: %s", got)
	}
	if got := s.greet(t, tcp, alice, true); strings.Contains(got, "ping") {
		t.Errorf("TCP: %q", got)
	}
	s.deny(t, in, &mesh.Denied{})
	if got := statusOf(t, live); got != 200 {
		t.Errorf("let in again: %d", got)
	}
}
