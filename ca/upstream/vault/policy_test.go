package vault

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/hashicorp/vault/api"
)

// denied says whether Vault's policy refused a request, as against its engine.
func denied(t *testing.T, client *api.Client, method, path string, body map[string]any) bool {
	t.Helper()
	var err error
	switch method {
	case http.MethodDelete:
		_, err = client.Logical().Delete(path)
	case http.MethodGet:
		_, err = client.Logical().Read(path)
	default:
		_, err = client.Logical().Write(path, body)
	}
	answered, ok := err.(*api.ResponseError)
	return ok && answered.StatusCode == http.StatusForbidden
}

// wishes are a body with one field changed each; nil leaves it out.
type wishes map[string]struct {
	field string
	value any
}

func (w wishes) check(t *testing.T, client *api.Client, path string, good map[string]any) {
	t.Helper()
	for name, wish := range w {
		body := maps.Clone(good)
		body[wish.field] = wish.value
		if wish.value == nil {
			delete(body, wish.field)
		}
		if !denied(t, client, http.MethodPut, path, body) {
			t.Errorf("%s: not denied", name)
		}
	}
}

func TestTheDailyPolicyAllowsIssuersOnly(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	client := s.vault.As(t, s.vault.NewToken(t, "1h", "ensign-daily"))
	path := "ensign/issuer/ensign-1/sign-intermediate"
	request := newRequest(t)
	good := s.first(t).signRequest(request, issuerLife(request.Template))
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatal(err)
	}
	checkPins(t, client, path, good, "csr")
	wishes{
		"another trust domain":      {"permitted_uri_domains", "other.example"},
		"one more trust domain":     {"permitted_uri_domains", "cluster.local,other.example"},
		"trust domains in a list":   {"permitted_uri_domains", []string{"cluster.local", "other.example"}},
		"no trust domain":           {"permitted_uri_domains", ""},
		"everything below a name":   {"permitted_uri_domains", ".local"},
		"a path length":             {"max_path_length", "1"},
		"any path length":           {"max_path_length", -1},
		"a longer life":             {"ttl", "604501s"},
		"a life by its end":         {"not_after", "2099-01-01T00:00:00Z"},
		"a longer life beyond root": {"enforce_leaf_not_after_behavior", true},
		"names of the request":      {"use_csr_values", true},
		"a DNS name":                {"alt_names", "books.shop"},
		"a URI":                     {"uri_sans", "spiffe://cluster.local/ns/a/sa/b"},
		"an address":                {"ip_sans", "10.0.0.1"},
		"another organization":      {"organization", "Other"},
		"the name of a root":        {"common_name", "Ensign root ensign-1"},
		"its name as DNS name":      {"exclude_cn_from_sans", false},
		"another key usage":         {"key_usage", "DigitalSignature"},
		"an earlier start":          {"not_before_duration", "6000s"},
	}.check(t, client, path, good)
	for path, method := range map[string]string{
		"ensign/root/rotate/internal": http.MethodPut, "ensign/root/rotate/exported": http.MethodPut, "ensign/root/generate/internal": http.MethodPut,
		"ensign/root/sign-intermediate": http.MethodPut, "ensign/issuer/ensign-1/sign-self-issued": http.MethodPut,
		"ensign/issuer/ensign-1/sign-verbatim": http.MethodPut, "ensign/sign-verbatim": http.MethodPut, "ensign/roles/any": http.MethodPut,
		"ensign/issuer/ensign-1": http.MethodDelete, "ensign/root": http.MethodDelete, "ensign/config/issuers": http.MethodPut,
		"ensign/keys/import": http.MethodPut, "ensign/issuers/import/bundle": http.MethodPut, "ensign/issuer/ensign-1/revoke": http.MethodPut,
		"ensign/intermediate/cross-sign": http.MethodPut, "ensign/issuer/ensign-2": http.MethodGet, "ensign/key/ensign-1": http.MethodGet,
		"ensign/config/urls": http.MethodPut, "ensign/tidy": http.MethodPut, "auth/token/create": http.MethodPut,
		"sys/policies/acl/ensign-daily": http.MethodPut, "sys/mounts": http.MethodGet, "sys/seal": http.MethodPut,
	} {
		if !denied(t, client, method, path, map[string]any{"common_name": "Ensign root 2"}) {
			t.Errorf("%s %s: not denied", method, path)
		}
	}
}

// checkPins leaves each field out, and gives it every shape of nothing. What is in
// free is an engine's matter.
func checkPins(t *testing.T, client *api.Client, path string, good map[string]any, free ...string) {
	t.Helper()
	for field := range good {
		wishes{"without " + field: {field, nil}}.check(t, client, path, good)
		if slices.Contains(free, field) {
			continue
		}
		for _, nothing := range []any{"", ",", " ", " ,, ", "\t", "\v,", "\u00a0", "\u2003,", "\u3000", []string{}, []string{""}, [][]string{{}}, map[string]string{}} {
			wishes{fmt.Sprintf("%s of %q", field, nothing): {field, nothing}}.check(t, client, path, good)
		}
	}
}

func (s *set) rotating(t *testing.T) *api.Client {
	t.Helper()
	return s.vault.As(t, s.vault.NewToken(t, "1h", "ensign-rotation"))
}

func TestTheRotationPolicyAddsRoots(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	client := s.rotating(t)
	path := "ensign/root/rotate/internal"
	good := rootRequest("ensign-2", "cluster.local")
	checkPins(t, client, path, good)
	wishes{
		"another trust domain":  {"permitted_uri_domains", "other.example"},
		"one more trust domain": {"permitted_uri_domains", "cluster.local,other.example"},
		"another organization":  {"organization", "Other"},
		"any path length":       {"max_path_length", "-1"},
		"a longer path":         {"max_path_length", "2"},
		"a longer life":         {"ttl", "876000h"},
		"a life by its end":     {"not_after", "2099-01-01T00:00:00Z"},
		"an earlier start":      {"not_before_duration", "9000s"},
		"a short RSA key":       {"key_type", "rsa"},
		"a name for the key":    {"key_name", "ensign-1"},
		"a key of Vault's host": {"managed_key_name", "hsm"},
		"a key that is there":   {"key_ref", "ensign-1"},
		"the default's place":   {"issuer_name", "default"},
		"an issuer's name":      {"common_name", "Ensign issuer 1"},
		"a DNS name":            {"alt_names", "books.shop"},
		"a key in the answer":   {"format", "pem_bundle"},
		"another key format":    {"private_key_format", "pkcs8"},
	}.check(t, client, path, good)
	before := s.issuers(t)
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatalf("the one thing that it is for: %v", err)
	}
	if _, err := client.Logical().Write(path, good); err == nil {
		t.Error("a second root of one name")
	}
	after := s.issuers(t)
	if after["default"] != before["default"] || len(after) != len(before)+1 || after["ensign-1"] != before["ensign-1"] {
		t.Errorf("issuers %v, before %v", after, before)
	}
}

// issuers are the IDs of the mount's, by name, and that of the default.
func (s *set) issuers(t *testing.T) map[string]any {
	t.Helper()
	list, err := s.vault.API.Logical().List("ensign/issuers")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	for id, info := range list.Data["key_info"].(map[string]any) {
		found[fmt.Sprint(info.(map[string]any)["issuer_name"])] = id
	}
	config, err := s.vault.API.Logical().Read("ensign/config/issuers")
	if err != nil {
		t.Fatal(err)
	}
	found["default"] = config.Data["default"]
	return found
}

func TestTheRotationPolicySignsLinksOnly(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	client := s.rotating(t)
	path := "ensign/issuer/ensign-1/sign-intermediate"
	first := s.first(t)
	good := first.signRequest(linkRequest(t, first), linkLives[0])
	for _, life := range linkLives {
		good["ttl"] = seconds(life)
		if _, err := client.Logical().Write(path, good); err != nil {
			t.Fatal(err)
		}
	}
	checkPins(t, client, path, good, "csr")
	wishes{
		"an issuer":             {"common_name", "Ensign issuer test"},
		"an issuer's life":      {"ttl", "604500s"},
		"a longer life":         {"ttl", "31535701s"},
		"a trust domain":        {"permitted_uri_domains", "cluster.local"},
		"one more trust domain": {"permitted_uri_domains", "link.invalid,cluster.local"},
		"a DNS domain":          {"permitted_dns_domains", "svc"},
		"one more DNS domain":   {"permitted_dns_domains", "link.invalid,svc"},
		"a path length":         {"max_path_length", "1"},
		"any path length":       {"max_path_length", -1},
		"names of the request":  {"use_csr_values", true},
		"a URI":                 {"uri_sans", "spiffe://cluster.local/ns/a/sa/b"},
		"a life by its end":     {"not_after", "2099-01-01T00:00:00Z"},
		"an earlier start":      {"not_before_duration", "6000s"},
		"another key usage":     {"key_usage", "DigitalSignature"},
	}.check(t, client, path, good)

	path = "ensign/intermediate/cross-sign"
	good = map[string]any{"key_ref": "ensign-1", "common_name": "Ensign root ensign-1", "organization": "cluster.local", "exclude_cn_from_sans": "true"}
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatal(err)
	}
	checkPins(t, client, path, good, "key_ref")
	wishes{
		"another name":          {"common_name", "Ensign issuer 1"},
		"another organization":  {"organization", "Other"},
		"a URI":                 {"uri_sans", "spiffe://cluster.local/ns/a/sa/b"},
		"a DNS name":            {"alt_names", "books.shop"},
		"a name for the key":    {"key_name", "ensign-9"},
		"an exported key":       {"exported", "exported"},
		"the key in the answer": {"format", "pem_bundle"},
		"a CA of the request":   {"add_basic_constraints", true},
	}.check(t, client, path, good)
}

// TestTheRotationPolicyReplacesNothing, and deletes, exports and configures nothing.
func TestTheRotationPolicyReplacesNothing(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	s.generate(t, "ensign-2")
	client := s.rotating(t)
	before := s.issuers(t)
	good := rootRequest("ensign-3", "cluster.local")
	for path, method := range map[string]string{
		"ensign/root/rotate/exported": http.MethodPut, "ensign/root/rotate/existing": http.MethodPut, "ensign/root/rotate/kms": http.MethodPut,
		"ensign/root/generate/internal": http.MethodPut, "ensign/root/generate/exported": http.MethodPut, "ensign/root/replace": http.MethodPut,
		"ensign/issuers/generate/root/internal": http.MethodPut, "ensign/issuers/generate/root/exported": http.MethodPut,
		"ensign/intermediate/generate/exported": http.MethodPut, "ensign/intermediate/generate/existing": http.MethodPut,
		"ensign/intermediate/generate/internal": http.MethodPut, "ensign/intermediate/set-signed": http.MethodPut,
		"ensign/config/issuers": http.MethodPut, "ensign/config/keys": http.MethodPut, "ensign/config/ca": http.MethodPut, "ensign/config/urls": http.MethodPut,
		"ensign/root": http.MethodDelete, "ensign/issuer/ensign-1": http.MethodDelete, "ensign/issuer/ensign-2": http.MethodPut,
		"ensign/issuer/ensign-1/revoke": http.MethodPut, "ensign/revoke": http.MethodPut, "ensign/revoke-with-key": http.MethodPut,
		"ensign/key/ensign-1": http.MethodDelete, "ensign/key/ensign-2": http.MethodGet, "ensign/keys/import": http.MethodPut, "ensign/keys/generate/exported": http.MethodPut,
		"ensign/issuers/import/bundle": http.MethodPut, "ensign/issuer/ensign-1/sign-self-issued": http.MethodPut, "ensign/root/sign-self-issued": http.MethodPut,
		"ensign/root/sign-intermediate": http.MethodPut, "ensign/issuer/ensign-1/sign-verbatim": http.MethodPut, "ensign/sign-verbatim": http.MethodPut,
		"ensign/issuer/ensign-1/sign/any": http.MethodPut, "ensign/roles/any": http.MethodPut, "ensign/tidy": http.MethodPut,
		"sys/policies/acl/ensign-daily": http.MethodPut, "sys/policies/acl/ensign-rotation": http.MethodPut, "sys/mounts": http.MethodGet,
		"auth/token/create": http.MethodPut,
	} {
		if !denied(t, client, method, path, good) {
			t.Errorf("%s %s: not denied", method, path)
		}
	}
	if after := s.issuers(t); !maps.Equal(before, after) {
		t.Errorf("issuers %v, before %v", after, before)
	}
}
