package daemon

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	spiffe "github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/federation"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

func parseBundleFlags(t *testing.T, args ...string) bundleFlags {
	t.Helper()
	var f bundleFlags
	set := pflag.NewFlagSet("ensignd", pflag.ContinueOnError)
	f.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestBundleFlags(t *testing.T) {
	const listen = "--bundle-listen=127.0.0.1:0"
	for _, c := range []struct {
		args []string
		want string // of the error; "" for none
	}{
		{nil, ""},
		{[]string{listen}, ""},
		{[]string{listen, "--bundle-profile=https_spiffe"}, ""},
		{[]string{listen, "--bundle-profile=https_web", "--bundle-cert=c", "--bundle-key=k"}, ""},
		{[]string{"--bundle-cert=c"}, "--bundle-listen"},
		{[]string{"--bundle-listen=8443"}, "HOST:PORT"},
		{[]string{listen, "--bundle-profile=https"}, "want https_spiffe or https_web"},
		{[]string{listen, "--bundle-profile=https_web"}, "needs --bundle-cert and --bundle-key"},
		{[]string{listen, "--bundle-profile=https_web", "--bundle-cert=c"}, "needs --bundle-cert and --bundle-key"},
		{[]string{listen, "--bundle-key=k"}, "are of --bundle-profile https_web"},
	} {
		err := parseBundleFlags(t, c.args...).validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
		// A client that comes back each time the hint is over sees every change.
		if got := parseBundleFlags(t, c.args...).visible(); slices.Contains(c.args, listen) && got < federation.RefreshHint+10*time.Second || c.args == nil && got != 0 {
			t.Errorf("%v: changes of the roots are shown for %s", c.args, got)
		}
	}
}

// ownRoot trusts and is one root, which issues the endpoint's SVID itself.
type ownRoot struct {
	key  crypto.Signer
	cert *x509.Certificate
}

var bundleDomain = spiffeid.RequireTrustDomainFromString("cluster.local")

func newOwnRoot(t *testing.T) ownRoot {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ownRoot{key: key, cert: cert}
}

func (r ownRoot) Trust() (*rotation.Trust, <-chan struct{}) {
	bundle, err := ca.NewBundle(r.cert)
	if err != nil {
		panic(err)
	}
	return &rotation.Trust{Sequence: 7, Bundle: bundle}, nil
}

func (r ownRoot) IssueBundleEndpoint(_ context.Context, csr ca.CSR, life time.Duration) (ca.Issued, error) {
	id, err := ca.BundleEndpointID(bundleDomain)
	if err != nil {
		return ca.Issued{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{id.URL()}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(life), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}, r.cert, csr.PublicKey(), r.key)
	if err != nil {
		return ca.Issued{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return ca.Issued{Leaf: leaf}, err
}

// TestBundleEndpointIsServed: with --bundle-listen, and not without.
func TestBundleEndpointIsServed(t *testing.T) {
	root := newOwnRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	open := func(args ...string) *bundleEndpoint {
		b, err := openBundle(ctx, parseBundleFlags(t, args...), bundleDomain, root, root, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := open(); b != nil || b.run(ctx) != nil {
		t.Error("served without --bundle-listen")
	}
	b := open("--bundle-listen=127.0.0.1:0")
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	id, err := ca.BundleEndpointID(bundleDomain)
	if err != nil {
		t.Fatal(err)
	}
	known := spiffebundle.FromX509Authorities(bundleDomain, []*x509.Certificate{root.cert})
	got, err := spiffe.FetchBundle(t.Context(), bundleDomain, "https://"+b.listener.Addr().String()+"/", spiffe.WithSPIFFEAuth(known, id))
	if err != nil {
		t.Fatal(err)
	}
	if sequence, _ := got.SequenceNumber(); sequence != 7 || !got.HasX509Authority(root.cert) {
		t.Errorf("fetched sequence %d", sequence)
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
