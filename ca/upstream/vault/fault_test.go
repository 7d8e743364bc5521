package vault

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
)

// badDay is one trouble, the error that it is to end in, and its end.
type badDay struct {
	name       string
	begin, end func()
	want       error
}

func troubles(t *testing.T, s *set, p *proxy) []badDay {
	other := under(t, nil, nil)
	stranger := under(t, &other, nil)
	return []badDay{
		{"sealed", func() { s.vault.Seal(t) }, func() { s.vault.Unseal(t) }, ErrSealed},
		{"gone", func() { s.vault.Kill(t) }, func() { s.vault.Run(t) }, ErrRefused}, // the proxy's 502
		{"slow", func() { p.set(slow) }, nil, ErrUnreachable},
		{"5xx", func() { p.set(broken(500)) }, nil, ErrRefused},
		{"cut in mid-answer", func() { p.set(cut) }, nil, ErrUnreachable},
		{"endless", func() { p.set(endless) }, nil, ErrAnswer},
		{"not JSON", func() {
			p.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write([]byte("<html>")) })
		}, nil, ErrUnreachable},
		{"a wrong issuer returned", func() {
			p.set(changed(t, func(data map[string]any) {
				data["certificate"], data["ca_chain"] = pemOf(stranger.cert), []any{pemOf(other.cert)}
			}))
		}, nil, ErrOtherRoot},
		{"an issuer of another trust domain", func() {
			// The daily policy would deny it, and what follows.
			write(t, s.tokens, s.vault.API.Token())
			s.vault.Write(t, "auth/token/revoke", map[string]any{"token": s.daily})
			p.set(asked(t, func(body map[string]any) { body["permitted_uri_domains"] = "other.example" }))
		}, nil, ErrAnswer},
		{"an issuer that may sign further CAs", func() {
			p.set(asked(t, func(body map[string]any) { body["max_path_length"] = "-1" }))
		}, nil, ErrAnswer},
		{"an issuer with a name", func() {
			p.set(asked(t, func(body map[string]any) { body["alt_names"] = "books.shop" }))
		}, nil, ErrAnswer},
		{"an issuer for longer", func() {
			p.set(asked(t, func(body map[string]any) { body["ttl"] = "5000h" }))
		}, nil, ErrAnswer},
	}
}

// TestIssuanceOutlivesVaultsTroubles: whatever is wrong with Vault, asking for the
// next issuer fails soon and says why, SVIDs are issued meanwhile and after, and
// once Vault is well again the next issuer comes.
func TestIssuanceOutlivesVaultsTroubles(t *testing.T) {
	s := newSet(t)
	p := newProxy(t, s.vault)
	s.cfg.Address, s.cfg.CAFile, s.cfg.Timeout = p.address, "", 3*time.Second
	first := s.first(t)
	service := s.service(t, first)
	for _, c := range troubles(t, s, p) {
		t.Run(c.name, func(t *testing.T) {
			c.begin()
			before := issue(t, service)
			failed := make(chan error, 1)
			request, start := newRequest(t), time.Now()
			go func() {
				_, err := first.CertifyIssuer(t.Context(), request)
				failed <- err
			}()
			issue(t, service) // it waits for nobody
			if err := <-failed; !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			} else {
				t.Log(err)
			}
			if err := first.place.Healthy(first.name); !errors.Is(err, c.want) {
				t.Errorf("it is said to be well but for %v", err)
			}
			if took := time.Since(start); took > 3*s.cfg.Timeout {
				t.Errorf("it took %s to say so", took)
			}
			if after := issue(t, service); !after[1].Equal(before[1]) {
				t.Error("the issuer was replaced")
			}
			p.set(nil)
			if c.end != nil {
				c.end()
			}
			if next := issue(t, s.service(t, first)); next[1].Equal(before[1]) {
				t.Error("vault is well again, and there is no other issuer")
			}
			if err := first.place.Healthy(first.name); err != nil {
				t.Errorf("it is said to be unwell still: %v", err)
			}
		})
	}
}

// TestARestartWhileVaultIsAway: the kept issuer goes on.
func TestARestartWhileVaultIsAway(t *testing.T) {
	s := newSet(t)
	keys, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	first := s.first(t)
	start := func() *ca.Service {
		service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: upstream{first},
			Ledger: s.ledger, Issuers: keys, LiveIssuers: s.ledger.LiveIssuers})
		if err != nil {
			t.Fatal(err)
		}
		return service
	}
	before := issue(t, start())
	s.vault.Kill(t)
	if after := issue(t, start()); !after[1].Equal(before[1]) {
		t.Error("another issuer, without vault")
	}
}

// TestTheVaultThatAnswersIsTheRightOne: it proves itself before it hears a token.
func TestTheVaultThatAnswersIsTheRightOne(t *testing.T) {
	s := newSet(t)
	chain := s.first(t).Chain()
	other := filepath.Join(t.TempDir(), "other.pem")
	write(t, other, pemOf(under(t, nil, nil).cert))
	for _, file := range []string{other, ""} {
		s.cfg.CAFile = file
		place := s.place(t)
		if _, _, err := place.First(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "x509") {
			t.Errorf("got %v", err)
		}
		again, err := place.Open(t.Context(), "ensign-1", chain)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "x509") {
			t.Errorf("got %v", err)
		}
	}
}

// TestNothingOfTheEnvironmentCounts: a shell's VAULT_TOKEN is not ensignd's.
func TestNothingOfTheEnvironmentCounts(t *testing.T) {
	s := newSet(t)
	t.Setenv("VAULT_TOKEN", s.vault.API.Token())
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	t.Setenv("VAULT_ADDR", "https://127.0.0.1:1")
	s.service(t, s.first(t))
	write(t, s.tokens, s.vault.NewToken(t, "1h", "default"))
	if _, err := s.first(t).CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrDenied) {
		t.Errorf("a token without rights: %v", err)
	}
}
