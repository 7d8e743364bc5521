package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// A certificate that has expired must not live on in a resumed TLS session.
func TestAnExpiredSVIDIsRefusedOnAResumedSession(t *testing.T) {
	l := mesh(t)
	cert, err := l.SVID(t.Context(), "shop", "reader", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(cert.Leaf.NotAfter); life > time.Minute {
		t.Fatalf("asked for 15 s, got %s", life)
	}
	clients := map[string]*tls.Config{}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		clients[name] = &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version,
			ClientSessionCache: tls.NewLRUClientSessionCache(8),
			// The server is not what is tested here.
			InsecureSkipVerify: true,
			NextProtos:         []string{"istio-http/1.1", "istio", "http/1.1"},
		}
		for range 3 {
			if _, err := overTLS(t, l, clients[name]); err != nil {
				t.Fatalf("%s, with a live certificate: %v", name, err)
			}
		}
	}
	time.Sleep(time.Until(cert.Leaf.NotAfter) + 1500*time.Millisecond)
	for name, config := range clients {
		if resumed, err := overTLS(t, l, config); err == nil {
			t.Errorf("%s: an expired certificate was accepted (resumed: %v)", name, resumed)
		}
	}
}

func TestServersRefuseStrangers(t *testing.T) {
	l := mesh(t)
	for name, config := range map[string]*tls.Config{
		"no certificate": {},
		"self-signed":    {Certificates: []tls.Certificate{selfSigned(t, "spiffe://cluster.local/ns/shop/sa/reader")}},
	} {
		config.InsecureSkipVerify = true
		config.NextProtos = []string{"istio-http/1.1", "istio"}
		if _, err := overTLS(t, l, config); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// overTLS asks storefront for a book over a TLS connection of the test's own.
func overTLS(t *testing.T, l *lab.Lab, config *tls.Config) (resumed bool, err error) {
	t.Helper()
	raw, err := l.Pod("outsider").Net.Dial(t.Context(), "tcp", l.Pod("storefront").Net.IP.String()+":9080")
	if err != nil {
		return false, err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return false, err
	}
	config = config.Clone()
	config.ServerName = "storefront.shop"
	conn := tls.Client(raw, config)
	defer conn.Close()
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return false, err
	}
	resumed = conn.ConnectionState().DidResume
	req, err := http.NewRequest(http.MethodGet, "http://storefront.shop:9080/books/1", nil)
	if err != nil {
		return resumed, err
	}
	if err := req.Write(conn); err != nil {
		return resumed, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return resumed, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resumed, errors.New(resp.Status)
	}
	return resumed, nil
}
