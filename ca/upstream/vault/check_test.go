package vault

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// kept is a place without a Vault.
func kept(t testing.TB) *Place {
	t.Helper()
	p, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asAllowed edits a certificate into what the policies allow, but for its name.
func asAllowed(c *x509.Certificate) {
	c.PermittedURIDomains = []string{catest.TrustDomain.Name()}
	c.MaxPathLen, c.MaxPathLenZero = 0, true
}

func TestAnswersThatAreRefused(t *testing.T) {
	top := under(t, nil, nil)
	between := under(t, &top, nil)
	foreign := under(t, nil, func(c *x509.Certificate) { c.Subject = between.cert.Subject })
	signed := &root{place: kept(t), name: "ensign-1", chain: []*x509.Certificate{between.cert, top.cert}}
	for name, c := range map[string]struct {
		signer authority
		edit   func(*x509.Certificate)
		want   error
	}{
		"good":               {between, nil, nil},
		"the root's own":     {top, nil, ErrOtherRoot},
		"a CA of one name":   {foreign, nil, ErrOtherRoot},
		"another name":       {between, func(c *x509.Certificate) { c.Subject.CommonName = "Ensign root 1" }, ErrAnswer},
		"a DNS name":         {between, func(c *x509.Certificate) { c.DNSNames = []string{"issuer"} }, ErrAnswer},
		"a URI":              {between, func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local"}} }, ErrAnswer},
		"key usage":          {between, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }, ErrAnswer},
		"extended usage":     {between, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, ErrAnswer},
		"an old one":         {between, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-time.Hour) }, ErrAnswer},
		"a later end":        {between, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }, ErrAnswer},
		"signs further CAs":  {between, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }, ErrAnswer},
		"no CA":              {between, func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero, c.MaxPathLen = false, false, 0 }, ErrAnswer},
		"every trust domain": {between, func(c *x509.Certificate) { c.PermittedURIDomains = nil }, ErrAnswer},
		"another":            {between, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"other.example"} }, ErrAnswer},
		"one more":           {between, func(c *x509.Certificate) { c.PermittedURIDomains = append(c.PermittedURIDomains, "other.example") }, ErrAnswer},
		"a DNS domain":       {between, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"link.invalid"} }, ErrAnswer},
		"not critical":       {between, func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false }, ErrAnswer},
	} {
		asked := &x509.Certificate{Subject: pkix.Name{CommonName: "Ensign issuer 1"}, NotBefore: time.Now().Add(-time.Minute),
			PermittedURIDomains: []string{catest.TrustDomain.Name()},
			NotAfter:            time.Now().Add(time.Hour).Truncate(time.Second)}
		got := under(t, &c.signer, func(c2 *x509.Certificate) {
			asAllowed(c2)
			c2.Subject, c2.NotAfter = asked.Subject, asked.NotAfter
			if c.edit != nil {
				c.edit(c2)
			}
		})
		request := ca.IssuerRequest{Template: asked, PublicKey: got.key.Public()}
		if err := signed.checkSigned(got.cert, request); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		request.PublicKey = top.key.Public()
		if err := signed.checkSigned(got.cert, request); err == nil {
			t.Errorf("%s, for another key", name)
		}
	}
}

func TestRootsThatAreRefused(t *testing.T) {
	outside := under(t, nil, nil)
	domain := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.PermittedURIDomains = names }
	}
	below := func(edit func(*x509.Certificate)) *authority { a := under(t, nil, edit); return &a }
	for name, c := range map[string]struct {
		above *authority
		edit  func(*x509.Certificate)
		good  bool
	}{
		"good":                         {nil, nil, true},
		"good, below another":          {&outside, nil, true},
		"good, below a wider one":      {below(domain("cluster.local", "other.example")), domain(), true},
		"any path length":              {nil, func(c *x509.Certificate) { c.MaxPathLen = -1 }, false},
		"no issuers":                   {nil, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, false},
		"no issuers, below another":    {&outside, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, false},
		"every trust domain":           {nil, domain(), false},
		"another trust domain":         {nil, domain("other.example"), false},
		"another, below another":       {&outside, domain("other.example"), false},
		"below one of another":         {below(domain("other.example")), nil, false},
		"below one that excludes ours": {below(func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"cluster.local"} }), nil, false},
		"below one of names below":     {below(domain(".cluster.local")), nil, false},
		"a name of its own":            {nil, func(c *x509.Certificate) { c.DNSNames = []string{"root"} }, false},
		"another common name":          {nil, func(c *x509.Certificate) { c.Subject.CommonName = "Ensign root ensign-3" }, false},
		"another, under another":       {&outside, func(c *x509.Certificate) { c.Subject.CommonName = "Intermediate" }, false},
		"another organization":         {nil, func(c *x509.Certificate) { c.Subject.Organization = []string{"Other"} }, false},
		"expired":                      {nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, false},
		"to come":                      {nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, false},
		"below an expired one":         {below(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), nil, false},
	} {
		made := under(t, c.above, func(cert *x509.Certificate) {
			cert.Subject = pkix.Name{Organization: []string{"cluster.local"}, CommonName: "Ensign root ensign-2"}
			cert.MaxPathLen, cert.PermittedURIDomains = 1, []string{"cluster.local"}
			if c.edit != nil {
				c.edit(cert)
			}
		})
		chain := []*x509.Certificate{made.cert}
		if c.above != nil {
			chain = append(chain, c.above.cert)
		}
		if err := checkMade(chain, "ensign-2", catest.TrustDomain, time.Now()); (err == nil) != c.good {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestChainsThatAreNotOpened(t *testing.T) {
	top := under(t, nil, nil)
	between := under(t, &top, nil)
	other := under(t, nil, nil)
	long := make([]*x509.Certificate, maxChain+1)
	for i := range long {
		long[i] = top.cert
	}
	place := kept(t)
	for name, chain := range map[string][]*x509.Certificate{
		"none": nil, "no end": {between.cert}, "wrong order": {top.cert, between.cert}, "another's": {between.cert, other.cert}, "too long": long,
		"another domain's": {under(t, nil, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"other.example"} }).cert},
	} {
		if _, err := place.Open(t.Context(), "ensign-1", chain); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	chain := []*x509.Certificate{between.cert, top.cert}
	if _, err := place.Open(t.Context(), "../sys", chain); err == nil {
		t.Error("opened by a path")
	}
	if _, err := place.Open(t.Context(), "ensign-1", chain); err != nil {
		t.Error(err)
	}
}

// TestLivesOfLinks: the longest that ends in time; what outlives its signer Vault cuts.
func TestLivesOfLinks(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct{ signer, asked, want time.Duration }{
		"years":                  {RootLife, RootLife, TTL(8760 * time.Hour)},
		"as rotations ask":       {RootLife, 8760*time.Hour - 2*time.Second, TTL(8760 * time.Hour)},
		"the signer's last days": {48 * time.Hour, 48 * time.Hour, TTL(8760 * time.Hour)},
		"a later root's":         {48 * time.Hour, RootLife, TTL(8760 * time.Hour)},
		"an earlier root's":      {RootLife, 1000 * time.Hour, TTL(720 * time.Hour)},
		"a day":                  {RootLife, 25 * time.Hour, TTL(24 * time.Hour)},
		"hardly any":             {RootLife, time.Minute, TTL(time.Hour)},
	} {
		r := &root{chain: []*x509.Certificate{{NotAfter: now.Add(c.signer)}}}
		if got := r.linkLife(now.Add(c.asked), now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	top := under(t, nil, nil)
	other := under(t, nil, nil)
	r := &root{place: kept(t), name: "ensign-1", chain: []*x509.Certificate{top.cert}}
	request := func(key crypto.Signer, of *x509.Certificate) string {
		return string(catest.CSRFrom(t, key, &x509.CertificateRequest{RawSubject: of.RawSubject}))
	}
	good := request(top.key, top.cert)
	if _, err := r.checkRequest(map[string]any{"csr": good}); err != nil {
		t.Errorf("a good one: %v", err)
	}
	broken := []byte(good)
	broken[len(broken)-70] ^= 1
	for name, text := range map[string]any{
		"none": nil, "a number": 1, "no PEM": "csr", "a certificate": pemOf(top.cert), "not PKCS#10": string(catest.PEM([]byte("x"))),
		"another key": request(other.key, top.cert), "another name": request(top.key, other.cert), "a broken signature": string(broken),
	} {
		if _, err := r.checkRequest(map[string]any{"csr": text}); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRequest: whatever Vault answers, it is a request of this root, or refused.
func FuzzRequest(f *testing.F) {
	top := under(f, nil, nil)
	r := &root{place: kept(f), name: "ensign-1", chain: []*x509.Certificate{top.cert}}
	f.Add(string(catest.CSRFrom(f, top.key, &x509.CertificateRequest{RawSubject: top.cert.RawSubject})))
	f.Add(string(catest.CSR(f, top.key)))
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----")
	f.Fuzz(func(t *testing.T, text string) {
		der, err := r.checkRequest(map[string]any{"csr": text})
		if err != nil {
			return
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil || csr.CheckSignature() != nil || csr.Subject.String() != top.cert.Subject.String() {
			t.Fatalf("%v", err)
		}
	})
}
