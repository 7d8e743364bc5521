package clientcert_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

// directory knows account shop/reviews and pod shop/reviews-1.
type directory struct{ account, pod string }

func (d directory) Account(ns, name string) (string, bool) { return "sa-1", ns+"/"+name == d.account }

func (d directory) Pod(ns, name string) (identity.Pod, bool) {
	return identity.Pod{UID: "pod-1", Account: "reviews", Node: "n1"}, ns+"/"+name == d.pod
}

var bookshop = directory{account: "shop/reviews", pod: "shop/reviews-1"}

// account binds every certificate to the account alone.
func account(context.Context, string) (clientcert.Bound, error) {
	return clientcert.Bound{AccountUID: "sa-1", TokenAt: time.Now()}, nil
}

// recorded says of each certificate that it is the recorded one, unless binding
// names another.
func recorded(binding func(context.Context, string) (clientcert.Bound, error), chain ...*x509.Certificate) func(context.Context, string) (clientcert.Bound, error) {
	return func(ctx context.Context, serial string) (clientcert.Bound, error) {
		b, err := binding(ctx, serial)
		if b.Certificate == "" {
			b.Certificate = fmt.Sprintf("%x", sha256.Sum256(chain[0].Raw))
		}
		return b, err
	}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// svid is a certificate of reviews, with one thing changed.
func svid(t testing.TB, edit func(c *x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xab12), URIs: []*url.URL{mustURL(t, "spiffe://cluster.local/ns/shop/sa/reviews")},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func authenticate(t testing.TB, cfg clientcert.Config, chain ...*x509.Certificate) (identity.Caller, error) {
	t.Helper()
	cfg.TrustDomain = td
	if cfg.Directory == nil {
		cfg.Directory = bookshop
	}
	if cfg.Binding == nil {
		cfg.Binding = account
	}
	cfg.Binding = recorded(cfg.Binding, chain...)
	a, err := clientcert.NewAuthenticator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a.Authenticate(t.Context(), identity.Credentials{Chain: chain})
}

func TestSVIDIsBelieved(t *testing.T) {
	leaf := svid(t, nil)
	tokenAt := time.Now().Add(-time.Hour)
	got, err := authenticate(t, clientcert.Config{Binding: func(context.Context, string) (clientcert.Bound, error) {
		return clientcert.Bound{AccountUID: "sa-1", TokenAt: tokenAt}, nil
	}}, leaf)
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Caller{
		Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "reviews"}, AccountUID: "sa-1",
		Proof: identity.ProofSVID, Serial: "ab12", TokenAt: tokenAt, Expires: leaf.NotAfter,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSVIDIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(c *x509.Certificate)
		want error
	}{
		"a CA":               {func(c *x509.Certificate) { c.IsCA = true }, identity.ErrMalformed},
		"may sign":           {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, identity.ErrMalformed},
		"may sign CRLs":      {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, identity.ErrMalformed},
		"no digital sig":     {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, identity.ErrMalformed},
		"server only":        {func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, identity.ErrMalformed},
		"no usage":           {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, identity.ErrMalformed},
		"no URI":             {func(c *x509.Certificate) { c.URIs = nil }, identity.ErrMalformed},
		"two URIs":           {func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, identity.ErrMalformed},
		"https URI":          {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "https://cluster.local/ns/shop/sa/reviews") }, identity.ErrMalformed},
		"URI with a query":   {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://cluster.local/ns/shop/sa/reviews?a") }, identity.ErrMalformed},
		"URI with a port":    {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://cluster.local:1/ns/shop/sa/reviews") }, identity.ErrMalformed},
		"no account's path":  {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://cluster.local/host/a") }, identity.ErrMalformed},
		"DNS name beside":    {func(c *x509.Certificate) { c.DNSNames = []string{"reviews"} }, identity.ErrMalformed},
		"IP beside":          {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(1, 2, 3, 4)} }, identity.ErrMalformed},
		"other trust domain": {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://evil.example/ns/shop/sa/reviews") }, identity.ErrTrustDomain},
		"look-alike domain":  {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://x.cluster.local/ns/shop/sa/reviews") }, identity.ErrTrustDomain},
		"expired":            {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, identity.ErrExpired},
		"not yet valid":      {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, identity.ErrNotYetValid},
		"account not there":  {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://cluster.local/ns/shop/sa/gone") }, identity.ErrUnknownAccount},
		"other namespace":    {func(c *x509.Certificate) { c.URIs[0] = mustURL(t, "spiffe://cluster.local/ns/bank/sa/reviews") }, identity.ErrUnknownAccount},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := authenticate(t, clientcert.Config{}, svid(t, c.edit)); !errors.Is(err, c.want) || got != (identity.Caller{}) {
				t.Errorf("got %+v, %v, want %v", got, err, c.want)
			}
		})
	}
	if _, err := authenticate(t, clientcert.Config{}); !errors.Is(err, identity.ErrNoProof) {
		t.Errorf("no chain: %v", err)
	}
	if _, err := authenticate(t, clientcert.Config{}, nil); !errors.Is(err, identity.ErrNoProof) {
		t.Errorf("nil leaf: %v", err)
	}
}

// TestForgedSerial: whoever stole an issuer's key can write a serial that was
// recorded into a certificate that was not.
func TestForgedSerial(t *testing.T) {
	issued, forged := svid(t, nil), svid(t, nil)
	cfg := clientcert.Config{Binding: func(context.Context, string) (clientcert.Bound, error) {
		return clientcert.Bound{Certificate: fmt.Sprintf("%x", sha256.Sum256(issued.Raw)), AccountUID: "sa-1", TokenAt: time.Now()}, nil
	}}
	if _, err := authenticate(t, cfg, issued); err != nil {
		t.Errorf("the recorded one: %v", err)
	}
	if got, err := authenticate(t, cfg, forged); !errors.Is(err, identity.ErrUnrecorded) || got != (identity.Caller{}) {
		t.Errorf("another one with its serial: %+v, %v", got, err)
	}
}

// TestSVIDExpiresOnALiveConnection: the handshake was long ago.
func TestSVIDExpiresOnALiveConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaf := svid(t, nil)
		time.Sleep(time.Hour)
		if _, err := authenticate(t, clientcert.Config{}, leaf); err != nil {
			t.Errorf("in its last second: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := authenticate(t, clientcert.Config{}, leaf); !errors.Is(err, identity.ErrExpired) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestBinding(t *testing.T) {
	bound := func(b clientcert.Bound, err error) func(context.Context, string) (clientcert.Bound, error) {
		if b.TokenAt.IsZero() {
			b.TokenAt = time.Now()
		}
		return func(_ context.Context, serial string) (clientcert.Bound, error) {
			if serial != "ab12" {
				t.Errorf("asked for serial %s", serial)
			}
			return b, err
		}
	}
	pod1 := clientcert.Bound{AccountUID: "sa-1", Pod: "reviews-1", PodUID: "pod-1"}
	pod0 := clientcert.Bound{AccountUID: "sa-1", Pod: "reviews-1", PodUID: "pod-0"}
	unrecorded := fmt.Errorf("%w: somewhere", identity.ErrUnrecorded)
	noPod := directory{account: "shop/reviews"}
	for name, c := range map[string]struct {
		cfg  clientcert.Config
		pod  string
		want error
	}{
		"pod is there":          {clientcert.Config{Binding: bound(pod1, nil)}, "reviews-1", nil},
		"never was bound":       {clientcert.Config{Binding: bound(clientcert.Bound{AccountUID: "sa-1"}, nil)}, "", nil},
		"pod is gone":           {clientcert.Config{Binding: bound(pod1, nil), Directory: noPod}, "", identity.ErrUnknownPod},
		"pod was made anew":     {clientcert.Config{Binding: bound(pod0, nil)}, "", identity.ErrUnknownPod},
		"account was made anew": {clientcert.Config{Binding: bound(clientcert.Bound{AccountUID: "sa-0"}, nil)}, "", identity.ErrUnknownAccount},
		"account not recorded":  {clientcert.Config{Binding: bound(clientcert.Bound{}, nil)}, "", identity.ErrUnknownAccount},
		"ledger is away":        {clientcert.Config{Binding: bound(clientcert.Bound{}, errors.New("disk"))}, "", identity.ErrUnavailable},
		"not in the ledger":     {clientcert.Config{Binding: bound(clientcert.Bound{}, unrecorded)}, "", identity.ErrUnrecorded},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := authenticate(t, c.cfg, svid(t, nil))
			if !errors.Is(err, c.want) || got.Pod != c.pod {
				t.Errorf("got pod %q, %v", got.Pod, err)
			}
			if errors.Is(c.want, identity.ErrUnrecorded) && errors.Is(err, identity.ErrUnavailable) {
				t.Errorf("a later try would not help: %v", err)
			}
		})
	}
}

// TestRenewalsByTheSVIDAloneEnd: who stole a key can't go from SVID to SVID for ever.
func TestRenewalsByTheSVIDAloneEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokenAt := time.Now()
		leaf := svid(t, func(c *x509.Certificate) { c.NotAfter = tokenAt.Add(48 * time.Hour) })
		a, err := clientcert.NewAuthenticator(clientcert.Config{
			TrustDomain: td, Directory: bookshop, MaxTokenAge: 24 * time.Hour,
			Binding: recorded(func(context.Context, string) (clientcert.Bound, error) {
				return clientcert.Bound{AccountUID: "sa-1", TokenAt: tokenAt}, nil
			}, leaf),
		})
		if err != nil {
			t.Fatal(err)
		}
		use := func() (identity.Caller, error) {
			return a.Authenticate(t.Context(), identity.Credentials{Chain: []*x509.Certificate{leaf}})
		}
		time.Sleep(24*time.Hour - time.Second)
		got, err := use()
		if err != nil || !got.TokenAt.Equal(tokenAt) {
			t.Fatalf("a second before the end: %+v, %v", got, err)
		}
		if end := tokenAt.Add(24 * time.Hour); !got.Expires.Equal(end) {
			t.Errorf("believed until %s, the chain ends at %s", got.Expires, end)
		}
		time.Sleep(time.Second)
		if got, err := use(); !errors.Is(err, identity.ErrExpired) || !strings.Contains(err.Error(), "renew with a token") {
			t.Errorf("at the end: %+v, %v", got, err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]clientcert.Config{
		"no directory":    {TrustDomain: td, Binding: account},
		"no trust domain": {Directory: bookshop, Binding: account},
		"no binding":      {TrustDomain: td, Directory: bookshop},
		"negative age":    {TrustDomain: td, Directory: bookshop, Binding: account, MaxTokenAge: -1},
	} {
		if _, err := clientcert.NewAuthenticator(cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(svid(f, nil).Raw)
	f.Add(svid(f, func(c *x509.Certificate) { c.IsCA = true }).Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		caller, err := authenticate(t, clientcert.Config{}, leaf)
		if err == nil && (caller.Account.Name != "reviews" || leaf.IsCA || len(leaf.URIs) != 1) {
			t.Fatalf("believed %x as %+v", der, caller)
		}
	})
}
