package vault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestAnOutsideRootAboveVault: workloads trust it, chains go up to it, and the next one
// is a person's to make, who is told how; then the rotation goes on.
func TestAnOutsideRootAboveVault(t *testing.T) {
	t.Parallel()
	s := newSet(t, "ISSUER=")
	s.vault.Write(t, "sys/mounts/outside", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	s.vault.Write(t, "outside/root/generate/internal", map[string]any{"common_name": "Outside root", "issuer_name": "one", "key_type": "ec", "ttl": "80000h",
		"not_before_duration": "1200s"})
	s.outside(t, "under-outside", "one", false)
	s.cfg.Issuer = "under-outside"
	if _, _, err := s.place(t).First(t.Context()); !errors.Is(err, ErrAnswer) {
		t.Fatalf("a chain that does not reach the root: %v", err)
	}
	top, err := s.vault.API.Logical().Read("outside/issuer/one")
	if err != nil {
		t.Fatal(err)
	}
	s.vault.Write(t, "ensign/issuers/import/cert", map[string]any{"pem_bundle": top.Data["certificate"]})
	first := s.first(t)
	service := s.service(t, first)
	if got := issue(t, service); len(got) != 3 || got[2].Subject.CommonName != "Ensign root under-outside" {
		t.Errorf("%d certificates", len(got))
	}
	if roots := service.Bundle().Roots(); len(roots) != 1 || roots[0].Subject.CommonName != "Outside root" {
		t.Errorf("%d roots", len(roots))
	}
	_, err = first.place.Make(t.Context(), "ensign-2")
	if !errors.Is(err, ErrByHand) {
		t.Fatalf("the next outside root: %v", err)
	}
	for _, word := range []string{"ensign/intermediate/generate/internal", "common_name='Ensign root ensign-2' organization=cluster.local", "issuer_name=ensign-2"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	s.vault.Write(t, "outside/root/rotate/internal", map[string]any{"common_name": "Outside root 2", "issuer_name": "two", "key_type": "ec", "ttl": "80000h",
		"not_before_duration": "1200s"})
	s.outside(t, "ensign-2", "two", true)
	next := made(t, first.place, "ensign-2")
	if len(next.Chain()) != 2 || next.Chain()[1].Subject.CommonName != "Outside root 2" {
		t.Errorf("a chain of %d", len(next.Chain()))
	}
	issue(t, s.service(t, next))
	if _, err := first.CertifyIssuer(t.Context(), linkRequest(t, next)); err != nil {
		t.Errorf("a link from one to the other: %v", err)
	}
}

// outside makes an intermediate as the message of ErrByHand says.
func (s *set) outside(t *testing.T, name, signer string, whole bool) {
	t.Helper()
	v, subject := s.vault, map[string]any{"common_name": "Ensign root " + name, "organization": "cluster.local", "exclude_cn_from_sans": true}
	with := func(more map[string]any) map[string]any {
		for k, value := range subject {
			more[k] = value
		}
		return more
	}
	request := v.Write(t, "ensign/intermediate/generate/internal", with(map[string]any{"key_type": "ec"}))
	signed := v.Write(t, "outside/issuer/"+signer+"/sign-intermediate", with(map[string]any{"csr": request.Data["csr"], "max_path_length": 1, "ttl": "40000h",
		"permitted_uri_domains": "cluster.local", "not_before_duration": "900s"}))
	imported := v.Write(t, "ensign/intermediate/set-signed", map[string]any{"certificate": signed.Data["certificate"]})
	if whole {
		v.Write(t, "ensign/issuers/import/cert", map[string]any{"pem_bundle": signed.Data["issuing_ca"]})
	}
	v.Write(t, "ensign/issuer/"+fmt.Sprint(imported.Data["imported_issuers"].([]any)[0]), map[string]any{"issuer_name": name})
}
