package vault

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// try asks for one SVID of an hour.
func try(t *testing.T, service *ca.Service) (ca.Issued, error) {
	t.Helper()
	return service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reader"), CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t))), Lifetime: time.Hour})
}

// resigned has Vault sign something else than was asked for, as an administrator who
// may do all.
func resigned(s *set, path string, change func(body map[string]any)) trouble {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if !strings.Contains(r.URL.Path, "/sign/") {
			pass.ServeHTTP(w, r)
			return
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		change(body)
		answer, err := s.vault.API.Logical().WriteWithContext(context.WithoutCancel(r.Context()), path, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": answer.Data})
	}
}

// TestWrongLeavesAreRefused: whatever Vault signs that is not what was asked for, nobody
// gets it and no ledger holds it.
func TestWrongLeavesAreRefused(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	p := newProxy(t, s.vault)
	s.cfg.Address, s.cfg.CAFile, s.cfg.Timeout = p.address, "", 3*time.Second
	s.generate(t, "ensign-2")
	role := func(name string, edit map[string]any) string {
		body := map[string]any{"key_type": "any", "key_usage": "DigitalSignature", "server_flag": true, "client_flag": true, "allowed_uri_sans": "*",
			"basic_constraints_valid_for_non_ca": true, "not_before_duration": "600s", "require_cn": false, "use_csr_sans": false, "use_csr_common_name": false,
			"max_ttl": "1000h", "allow_any_name": true, "allow_ip_sans": true}
		for k, v := range edit {
			body[k] = v
		}
		s.vault.Write(t, "ensign/roles/"+name, body)
		return "ensign/issuer/ensign-1/sign/" + name
	}
	good := role("good", nil)
	service := s.service(t, s.firstRoot(t))
	for check, bad := range map[string]struct {
		path   string
		change func(map[string]any)
	}{
		"names":                 {good, func(b map[string]any) { b["uri_sans"] = "spiffe://cluster.local/ns/shop/sa/admin" }},
		"names, one more":       {good, func(b map[string]any) { b["alt_names"] = "books.shop" }},
		"names, a common name":  {good, func(b map[string]any) { b["common_name"] = "reader"; b["exclude_cn_from_sans"] = true }},
		"key":                   {good, func(b map[string]any) { b["csr"] = string(catest.CSR(t, catest.NewKey(t))) }},
		"validity, longer":      {good, func(b map[string]any) { b["ttl"] = "2h" }},
		"validity, far shorter": {good, func(b map[string]any) { b["ttl"] = "60s" }},
		"validity, from now on": {role("late", map[string]any{"not_before_duration": "1s"}), func(map[string]any) {}},
		"validity, not yet": {good, func(b map[string]any) {
			b["not_after"] = time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
			delete(b, "ttl")
		}},
		"key_usage":                    {role("usage", map[string]any{"key_usage": "DigitalSignature,KeyAgreement"}), func(map[string]any) {}},
		"extended_key_usage":           {role("server", map[string]any{"client_flag": false}), func(map[string]any) {}},
		"extended_key_usage, one more": {role("code", map[string]any{"code_signing_flag": true}), func(map[string]any) {}},
		"basic_constraints":            {role("plain", map[string]any{"basic_constraints_valid_for_non_ca": false}), func(map[string]any) {}},
		"issuer":                       {"ensign/issuer/ensign-2/sign/good", func(map[string]any) {}},
		"extensions":                   {role("policy", map[string]any{"policy_identifiers": "1.3.6.1.4.1.1"}), func(map[string]any) {}},
		"names, a CA":                  {"ensign/issuer/ensign-1/sign-intermediate", func(b map[string]any) { b["common_name"] = "x" }},
	} {
		p.set(resigned(s, bad.path, bad.change))
		_, err := try(t, service)
		var lint *ca.LintError
		want, _, _ := strings.Cut(check, ",")
		if !errors.As(err, &lint) || lint.Check != want {
			t.Errorf("%s: got %v", check, err)
		}
	}
	if n := len(s.ledger.Entries(ca.KindSVID)); n != 0 {
		t.Errorf("the ledger holds %d", n)
	}
	p.set(resigned(s, good, func(map[string]any) {}))
	if _, err := try(t, service); err != nil {
		t.Errorf("a good one by the same way: %v", err)
	}
}

// TestAnOldLeafIsRefused: one that Vault answered before is for another key, and the
// same serial is never recorded twice.
func TestAnOldLeafIsRefused(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	p := newProxy(t, s.vault)
	s.cfg.Address, s.cfg.CAFile = p.address, ""
	_, led := s.realLedger(t, t.TempDir())
	service := s.service(t, s.firstRoot(t))
	var first []byte
	p.set(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		if first == nil && strings.Contains(r.URL.Path, "/sign/") {
			first = answer.Body.Bytes()
		}
		if first != nil {
			_, _ = w.Write(first)
			return
		}
		_, _ = w.Write(answer.Body.Bytes())
	})
	ask := ca.Request{Caller: catest.Caller("reader"), CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t))), Lifetime: time.Hour}
	if _, err := service.Issue(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, service); !errors.Is(err, ca.ErrMisissuance) {
		t.Errorf("for another key: %v", err)
	}
	if _, err := service.Issue(t.Context(), ask); !errors.Is(err, ledger.ErrSerial) {
		t.Errorf("for the same key: %v", err)
	}
	if live, err := led.LiveSVIDs(t.Context(), time.Now()); err != nil || len(live) != 1 {
		t.Errorf("the ledger holds %d: %v", len(live), err)
	}
}

// TestNothingIsIssuedWithoutVault, soon and with the reason, which health says too; and
// by itself it is well again.
func TestNothingIsIssuedWithoutVault(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	p := newProxy(t, s.vault)
	s.cfg.Address, s.cfg.CAFile, s.cfg.Timeout = p.address, "", 3*time.Second
	first := s.firstRoot(t).(leafRoot)
	service := s.service(t, first)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- first.place.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []badDay{
		{"sealed", func() { s.vault.Seal(t) }, func() { s.vault.Unseal(t) }, ErrSealed},
		{"slow", func() { p.set(slow) }, nil, ErrUnreachable},
		{"cut in mid-answer", func() { p.set(cut) }, nil, ErrUnreachable},
		{"denied", func() {
			write(t, s.tokens, "none")
			s.vault.Write(t, "auth/token/revoke", map[string]any{"token": s.daily})
		},
			func() { write(t, s.tokens, s.vault.NewToken(t, "1h", "ensign-leaves")) }, ErrDenied},
	} {
		issue(t, service)
		recorded := len(s.ledger.Entries(ca.KindSVID))
		c.begin()
		start := time.Now()
		if _, err := try(t, service); !errors.Is(err, ca.ErrRemote) || !errors.Is(err, c.want) || time.Since(start) > 3*s.cfg.Timeout {
			t.Errorf("%s: got %v after %s", c.name, err, time.Since(start))
		}
		if err := service.Healthy(time.Now()); !errors.Is(err, c.want) || !errors.Is(err, ca.ErrRemote) {
			t.Errorf("%s: health says %v", c.name, err)
		}
		if n := len(s.ledger.Entries(ca.KindSVID)); n != recorded {
			t.Errorf("%s: the ledger has grown by %d", c.name, n-recorded)
		}
		p.set(nil)
		if c.end != nil {
			c.end()
		}
		for deadline := time.Now().Add(time.Minute); service.Healthy(time.Now()) != nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		}
		if err := service.Healthy(time.Now()); err != nil {
			t.Fatalf("%s is over: %v", c.name, err)
		}
	}
	issue(t, service)
}

// TestTheModeFollowsTheFlag over restarts: keys of this process sign nothing under a root
// that signs leaves itself, and the other way round.
func TestTheModeFollowsTheFlag(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	keys, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	start := func(role, policy string) *ca.Service {
		s.cfg.Role = role
		write(t, s.tokens, s.vault.NewToken(t, "1h", policy))
		var first rotation.Root = s.firstRoot(t)
		service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: upstream{first},
			Ledger: s.ledger, Issuers: keys, LiveIssuers: s.ledger.LiveIssuers, Remote: remoteOf(first)})
		if err != nil {
			t.Fatal(err)
		}
		return service
	}
	issuers := map[bool]*x509.Certificate{}
	for _, role := range []string{"", "svid", "svid", "", "svid"} {
		policy := map[string]string{"": "ensign-daily", "svid": "ensign-leaves"}[role]
		issuer := issue(t, start(role, policy))[1]
		if known := issuers[role == ""]; known != nil && !known.Equal(issuer) {
			t.Errorf("role %q: another issuer, %q", role, issuer.Subject)
		}
		issuers[role == ""] = issuer
	}
	if issuers[true].Subject.CommonName == issuers[false].Subject.CommonName || issuers[false].Subject.CommonName != "Ensign root ensign-1" {
		t.Errorf("issuers %q and %q", issuers[true].Subject, issuers[false].Subject)
	}
	if n := len(s.ledger.Entries(ca.KindIssuer)); n != 2 {
		t.Errorf("the ledger holds %d issuers", n)
	}
}

// TestLeavesFollowTheRoot: built in, to Vault, whose role signs; to Vault's next root,
// where the same role does, with Vault sealed for a time; and back.
func TestLeavesFollowTheRoot(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t, "ISSUER=")
	s.cfg.Issuer, s.cfg.Timeout = "", 3*time.Second
	m, service := s.manager(t)
	if m.Remote() != nil {
		t.Error("the built-in root signs leaves")
	}
	stop := func(begun error) *x509.Certificate {
		t.Helper()
		if begun != nil {
			t.Fatal(begun)
		}
		await(t, m, done)
		chain := issue(t, service)
		if place, _ := m.Place(); place != rotation.Vault || m.Remote() == nil || !service.Status().Remote || !chain[1].Equal(m.Signing()) {
			t.Errorf("in %s, %q signs", place, chain[1].Subject)
		}
		return m.Signing()
	}
	options := rotation.Options{Via: rotation.Vault, Window: time.Second}
	one := stop(m.Begin(t.Context(), "test", options))
	s.vault.Seal(t)
	begun := m.Begin(t.Context(), "test", options)
	await(t, m, func(r *rotation.Rotation) bool { return strings.Contains(r.Problem, ErrSealed.Error()) })
	if _, err := try(t, service); !errors.Is(err, ErrSealed) {
		t.Errorf("sealed: %v", err)
	}
	s.vault.Unseal(t)
	two := stop(begun)
	if again := stop(m.Rollback(t.Context(), "test", "")); !again.Equal(one) || two.Equal(one) {
		t.Error("the way back leads elsewhere")
	}
}
