package vault

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// leafWish is the request for one SVID of the role svid.
func leafWish(t *testing.T, s *set) (path string, good map[string]any) {
	t.Helper()
	id, err := url.Parse("spiffe://cluster.local/ns/shop/sa/reader")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(catest.CSR(t, catest.NewKey(t), "spiffe://other.example/ns/shop/sa/reader"))
	role, good := s.firstRoot(t).(leafRoot).leafRequest(ca.LeafRequest{CSR: block.Bytes,
		Template: &x509.Certificate{URIs: []*url.URL{id}, NotAfter: time.Now().Add(24 * time.Hour)}}, time.Now())
	return "ensign/issuer/ensign-1/sign/" + role, good
}

// TestTheLeavesPolicyAllowsLeavesOnly, of the two roles as they are.
func TestTheLeavesPolicyAllowsLeavesOnly(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	client := s.vault.As(t, s.daily)
	path, good := leafWish(t, s)
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatal(err)
	}
	checkPins(t, client, path, good, "csr", "ttl")
	more := wishes{
		"a name":                 {"common_name", "books.shop"},
		"a DNS name":             {"alt_names", "books.shop"},
		"an address":             {"ip_sans", "10.0.0.1"},
		"another kind of name":   {"other_sans", "1.3.6.1.4.1.311.20.2.3;utf8:root"},
		"another trust domain":   {"uri_sans", "spiffe://other.example/ns/shop/sa/reader"},
		"one more trust domain":  {"uri_sans", []string{"spiffe://cluster.local/ns/a/sa/b", "spiffe://other.example/ns/a/sa/b"}},
		"two in one":             {"uri_sans", "spiffe://cluster.local/ns/a/sa/b,spiffe://other.example/ns/a/sa/b"},
		"a longer trust domain":  {"uri_sans", "spiffe://cluster.local.example/ns/a/sa/b"},
		"a life by its end":      {"not_after", "2099-01-01T00:00:00Z"},
		"an earlier start":       {"not_before_duration", "6000s"},
		"another key usage":      {"key_usage", "CertSign"},
		"another use":            {"ext_key_usage", "CodeSigning"},
		"another use by its OID": {"ext_key_usage_oids", "1.3.6.1.5.5.7.3.3"},
		"a user ID":              {"user_ids", "root"},
		"names of the request":   {"use_csr_values", true},
		"another role":           {"role", "other"},
	}
	more.check(t, client, path, good)
	server := map[string]any{"csr": good["csr"], "alt_names": "localhost", "ttl": "60s"}
	serverPath := path + serverRole
	if _, err := client.Logical().Write(serverPath, server); err != nil {
		t.Fatal(err)
	}
	checkPins(t, client, serverPath, server, "csr", "ttl")
	wishes{
		"an SVID of the server's role": {"uri_sans", "spiffe://cluster.local/ns/shop/sa/reader"},
		"another server":               {"alt_names", "books.shop"},
		"one more server":              {"alt_names", "localhost,books.shop"},
		"another address":              {"ip_sans", "10.0.0.1"},
		"one more address":             {"ip_sans", "127.0.0.1,10.0.0.1"},
	}.check(t, client, serverPath, server)
	for path, method := range map[string]string{
		"ensign/issuer/ensign-1/sign-intermediate": http.MethodPut, "ensign/issuer/ensign-1/sign-verbatim": http.MethodPut,
		"ensign/issuer/ensign-1/sign-verbatim/svid": http.MethodPut, "ensign/issuer/ensign-1/issue/svid": http.MethodPut, "ensign/issue/svid": http.MethodPut,
		"ensign/sign/svid": http.MethodPut, "ensign/issuer/ensign-1/sign/other": http.MethodPut, "ensign/issuer/ensign-1/sign-self-issued": http.MethodPut,
		"ensign/roles/svid": http.MethodPut, "ensign/roles/svid-server": http.MethodDelete, "ensign/root/rotate/internal": http.MethodPut,
		"ensign/root/sign-intermediate": http.MethodPut, "ensign/issuer/ensign-1": http.MethodPut, "ensign/revoke": http.MethodPut,
		"sys/policies/acl/ensign-leaves": http.MethodPut, "auth/token/create": http.MethodPut,
	} {
		if !denied(t, client, method, path, good) {
			t.Errorf("%s %s: not denied", method, path)
		}
	}
}

// TestTheRolesHoldWhatThePolicyCannot: what an administrator's token asks of the roles.
func TestTheRolesHoldWhatThePolicyCannot(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	path, good := leafWish(t, s)
	admin := s.vault.API.Logical()
	for name, wish := range map[string]struct{ path, field, value string }{
		"another trust domain": {path, "uri_sans", "spiffe://other.example/ns/shop/sa/reader"},
		"no account's ID":      {path, "uri_sans", "spiffe://cluster.local/admin"},
		"a DNS name":           {path, "alt_names", "books.shop"},
		"localhost":            {path, "alt_names", "localhost"},
		"an address":           {path, "ip_sans", "127.0.0.1"},
		"a common name":        {path, "common_name", "books.shop"},
		"a server's SVID":      {path + serverRole, "uri_sans", "spiffe://cluster.local/ns/shop/sa/reader"},
		"another server":       {path + serverRole, "alt_names", "books.shop"},
	} {
		body := map[string]any{"csr": good["csr"], "ttl": "60s", wish.field: wish.value}
		if answer, err := admin.Write(wish.path, body); err == nil {
			t.Errorf("%s: signed %v", name, answer.Data["serial_number"])
		}
	}
	// Neither what the request names nor a longer life nor other uses come through.
	body := map[string]any{"csr": good["csr"], "uri_sans": good["uri_sans"], "ttl": "1000h", "key_usage": "CertSign", "ext_key_usage": "CodeSigning"}
	answer, err := admin.Write(path, body)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := certificateOf(answer.Data)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != good["uri_sans"] || len(leaf.DNSNames) > 0 || len(leaf.Subject.Names) > 0 || leaf.IsCA ||
		leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 || time.Until(leaf.NotAfter) > 24*time.Hour {
		t.Errorf("signed %v, %v, CA %v, usage %v %v, until %s", leaf.URIs, leaf.Subject, leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage, leaf.NotAfter)
	}
}
