package vault

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/ensign-mesh/ensign/ca/internal/catest"
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
	s := newSet(t)
	client := s.vault.As(t, s.vault.NewToken(t, "1h", "ensign-daily"))
	path := "ensign/issuer/ensign-1/sign-intermediate"
	good := signIntermediate(newRequest(t), catest.TrustDomain)
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatal(err)
	}
	for field := range good {
		wishes{"without " + field: {field, nil}}.check(t, client, path, good)
		if field == "csr" {
			continue // an engine's matter
		}
		for _, nothing := range []any{"", ",", " ", " ,, ", "\t", "\v,", "\u00a0", "\u2003,", "\u3000", []string{}, []string{""}, [][]string{{}}, map[string]string{}} {
			wishes{fmt.Sprintf("%s of %q", field, nothing): {field, nothing}}.check(t, client, path, good)
		}
	}
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
		"ensign/config/urls": http.MethodPut, "ensign/tidy": http.MethodPut, "auth/token/create": http.MethodPut,
		"sys/policies/acl/ensign-daily": http.MethodPut, "sys/mounts": http.MethodGet, "sys/seal": http.MethodPut,
	} {
		if !denied(t, client, method, path, map[string]any{"common_name": "Ensign root 2"}) {
			t.Errorf("%s %s: not denied", method, path)
		}
	}
}

func TestTheRotationPolicyAddsRootsAndReplacesNone(t *testing.T) {
	s := newSet(t)
	client := s.vault.As(t, s.vault.NewToken(t, "1h", "ensign-rotation"))
	path := "ensign/root/rotate/internal"
	good := map[string]any{
		"common_name": "Ensign root 2", "organization": "cluster.local", "issuer_name": "ensign-2", "key_name": "ensign-2", "key_type": "ec",
		"key_bits": "256", "max_path_length": "1", "permitted_uri_domains": "cluster.local", "ttl": "87600h",
		"not_before_duration": "900s",
	}
	for field := range good {
		wishes{"without " + field: {field, nil}}.check(t, client, path, good)
		if field == "csr" {
			continue // an engine's matter
		}
		for _, nothing := range []any{"", ",", " ", " ,, ", "\t", "\v,", "\u00a0", "\u2003,", "\u3000", []string{}, []string{""}, [][]string{{}}, map[string]string{}} {
			wishes{fmt.Sprintf("%s of %q", field, nothing): {field, nothing}}.check(t, client, path, good)
		}
	}
	wishes{
		"another trust domain":  {"permitted_uri_domains", "other.example"},
		"any path length":       {"max_path_length", "-1"},
		"a longer life":         {"ttl", "876000h"},
		"a life by its end":     {"not_after", "2099-01-01T00:00:00Z"},
		"a short RSA key":       {"key_type", "rsa"},
		"a key of Vault's host": {"managed_key_name", "hsm"},
		"a key that is there":   {"key_ref", "ensign-1"},
		"the default's place":   {"issuer_name", "default"},
		"a DNS name":            {"alt_names", "books.shop"},
	}.check(t, client, path, good)
	for path, method := range map[string]string{
		"ensign/root/rotate/exported": http.MethodPut, "ensign/root/rotate/existing": http.MethodPut, "ensign/root/rotate/kms": http.MethodPut,
		"ensign/root/generate/internal": http.MethodPut, "ensign/root/generate/exported": http.MethodPut, "ensign/root/replace": http.MethodPut,
		"ensign/config/issuers": http.MethodPut, "ensign/root": http.MethodDelete, "ensign/issuer/ensign-1": http.MethodDelete,
		"ensign/issuer/ensign-2": http.MethodPut, "ensign/key/ensign-1": http.MethodDelete, "ensign/keys/import": http.MethodPut,
		"ensign/issuer/ensign-1/sign-intermediate": http.MethodPut, "sys/policies/acl/ensign-daily": http.MethodPut,
	} {
		if !denied(t, client, method, path, good) {
			t.Errorf("%s %s: not denied", method, path)
		}
	}
	if _, err := client.Logical().Write(path, good); err != nil {
		t.Fatalf("the one thing that it is for: %v", err)
	}
	before, err := s.vault.API.Logical().Read("ensign/config/issuers")
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.vault.API.Logical().Read("ensign/issuer/ensign-1")
	if err != nil || before.Data["default"] != first.Data["issuer_id"] {
		t.Errorf("the default issuer is not the first root any more: %v", err)
	}
}
