package vault

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

func good() Config {
	return Config{Address: "https://vault.example:8200", Mount: "ensign", Issuer: "ensign-1", Auth: TokenFile("/nowhere"),
		TrustDomain: catest.TrustDomain, Ledger: &catest.Ledger{}}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	if _, err := New(good()); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for says, edit := range map[string]func(*Config){
		"not a URL":           func(c *Config) { c.Address = "vault.example:8200" },
		"in the clear":        func(c *Config) { c.Address = "http://vault.example:8200" },
		"PKI engine":          func(c *Config) { c.Mount = "../sys" },
		"PKI engine, without": func(c *Config) { c.Mount = "/ensign/" },
		"name of an issuer":   func(c *Config) { c.Issuer = "a/../../root" },
		"own name":            func(c *Config) { c.Issuer = "default" },
		"way to log in":       func(c *Config) { c.Auth = nil },
		"trust domain":        func(c *Config) { c.TrustDomain = spiffeid.TrustDomain{} },
		"a ledger":            func(c *Config) { c.Ledger = nil },
		"negative":            func(c *Config) { c.Timeout = -1 },
		"no such file":        func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "ca.pem") },
		"no PEM certificate": func(c *Config) {
			c.CAFile = filepath.Join(t.TempDir(), "ca.pem")
			write(t, c.CAFile, "nothing")
		},
	} {
		c := good()
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
	}
}

func TestSecretsInFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := TokenFile(path).login(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for name, text := range map[string]string{
		"empty": " \n", "two lines": "a\nb", "not text": "a\x00b", "too large": strings.Repeat("a", maxSecret+1),
	} {
		write(t, path, text)
		if _, err := AppRole("approle", "role", path).login(); err == nil || strings.Contains(err.Error(), "aaa") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, path, "one\n")
	if got, err := TokenFile(path).login(); err != nil || got.token != "one" {
		t.Errorf("got %+v, %v", got, err)
	}
	write(t, path, "two")
	if got, err := JWT("kubernetes", "ensignd", path).login(); err != nil || got.path != "auth/kubernetes/login" || got.body["jwt"] != "two" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestWhenATokenIsLookedAfter: at half of its life, and at once when it has ended.
func TestWhenATokenIsLookedAfter(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		held token
		at   time.Duration
		want time.Duration
	}{
		"none":        {token{}, 0, 0},
		"fresh":       {newToken("a", 600, true, now), 0, 300 * time.Second},
		"half over":   {newToken("a", 600, true, now), 300 * time.Second, 0},
		"expired":     {newToken("a", 600, true, now), 601 * time.Second, 0},
		"long":        {newToken("a", 30*24*3600, true, now), 0, look},
		"without end": {newToken("a", 0, false, now), 0, look},
	} {
		if got := c.held.lookAfter(now.Add(c.at)); got.Round(time.Second) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestTheLifeThatVaultIsAskedFor: deploy/vault/setup.sh holds the value of the default.
func TestTheLifeThatVaultIsAskedFor(t *testing.T) {
	for life, want := range map[time.Duration]string{
		7 * 24 * time.Hour: "604500s", 30 * 24 * time.Hour: "2591700s", 20 * time.Second: "18s",
	} {
		if got := seconds(TTL(life)); got != want {
			t.Errorf("of %s: %s, want %s", life, got, want)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheNamespaceIsSaid with every request; Vault's open edition takes no notice.
func TestTheNamespaceIsSaid(t *testing.T) {
	for _, namespace := range []string{"", "teams/mesh"} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("X-Vault-Namespace"))
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		c := good()
		c.Address, c.Namespace = server.URL, namespace
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		_, _, firstErr := p.First(t.Context())
		_, loginErr := p.daily.post(t.Context(), "", "auth/approle/login", nil)
		server.Close()
		if !errors.Is(firstErr, ErrSealed) || !errors.Is(loginErr, ErrSealed) || len(got) != 2 || got[0] != namespace || got[1] != namespace {
			t.Errorf("said %q, want %q: %v, %v", got, namespace, firstErr, loginErr)
		}
	}
}
