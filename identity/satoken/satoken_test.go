package satoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/satoken"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

// directory is a mesh of two maps, keyed by NAMESPACE/NAME.
type directory struct {
	accounts map[string]string
	pods     map[string]identity.Pod
}

func (d directory) Account(ns, name string) (string, bool) {
	uid, ok := d.accounts[ns+"/"+name]
	return uid, ok
}

func (d directory) Pod(ns, name string) (identity.Pod, bool) {
	p, ok := d.pods[ns+"/"+name]
	return p, ok
}

func bookshop() directory {
	return directory{
		accounts: map[string]string{"shop/reviews": "sa-1", "shop/ratings": "sa-2"},
		pods:     map[string]identity.Pod{"shop/reviews-1": {UID: "pod-1", Account: "reviews", Node: "n1"}},
	}
}

// mesh is a minter and an authenticator of one key.
type mesh struct {
	dir    directory
	key    *ecdsa.PrivateKey
	minter *satoken.Minter
	auth   *satoken.Authenticator
}

func newMesh(t testing.TB) mesh {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	m := mesh{dir: bookshop(), key: key}
	cfg := satoken.Config{TrustDomain: td, Directory: m.dir}
	m.minter = must(satoken.NewMinter(key, cfg))
	m.auth = must(satoken.NewAuthenticator(&key.PublicKey, cfg))
	return m
}

func (m mesh) check(token string) (identity.Caller, error) {
	return m.auth.Authenticate(context.Background(), identity.Credentials{Token: token})
}

func reviews(pod string) satoken.Request {
	return satoken.Request{Namespace: "shop", Account: "reviews", Pod: pod, TTL: time.Hour}
}

func TestTokenIsBelieved(t *testing.T) {
	m := newMesh(t)
	for _, pod := range []string{"", "reviews-1"} {
		token := must(m.minter.Mint(reviews(pod)))
		got, err := m.check(token.Text)
		if err != nil {
			t.Fatal(err)
		}
		want := identity.Caller{
			Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "reviews"}, AccountUID: "sa-1",
			Proof: identity.ProofToken, TokenID: token.ID, IssuedAt: token.Expires.Add(-time.Hour), Expires: token.Expires,
		}
		if pod != "" {
			want.Pod, want.PodUID, want.Node = pod, "pod-1", "n1"
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestClaimsAreThoseOfKubernetes pins the form: agents and operators read it.
func TestClaimsAreThoseOfKubernetes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		token := must(m.minter.Mint(reviews("reviews-1")))
		var got map[string]any
		if err := json.Unmarshal(part(t, token.Text, 1), &got); err != nil {
			t.Fatal(err)
		}
		start := float64(time.Now().Unix())
		want := map[string]any{
			"iss": "https://cluster.local", "sub": "system:serviceaccount:shop:reviews", "aud": "istio-ca",
			"iat": start, "nbf": start, "exp": start + 3600, "jti": token.ID,
			"kubernetes.io": map[string]any{
				"namespace": "shop", "serviceaccount": map[string]any{"name": "reviews", "uid": "sa-1"},
				"pod": map[string]any{"name": "reviews-1", "uid": "pod-1"},
			},
		}
		if a, b := string(must(json.Marshal(got))), string(must(json.Marshal(want))); a != b {
			t.Errorf("claims\n%s, want\n%s", a, b)
		}
		var header map[string]string
		if err := json.Unmarshal(part(t, token.Text, 0), &header); err != nil {
			t.Fatal(err)
		}
		if header["alg"] != "ES256" || header["kid"] == "" {
			t.Errorf("header %v", header)
		}
	})
}

func TestExpiryIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		token := must(m.minter.Mint(reviews("")))
		time.Sleep(time.Hour - time.Nanosecond)
		if _, err := m.check(token.Text); err != nil {
			t.Errorf("refused before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := m.check(token.Text); !errors.Is(err, identity.ErrExpired) {
			t.Errorf("at its end: %v", err)
		}
	})
}

// TestDirectoryIsAskedEveryTime: what is deleted, or made anew under the same
// name, ends its tokens at once.
func TestDirectoryIsAskedEveryTime(t *testing.T) {
	for name, c := range map[string]struct {
		change func(directory)
		want   error
	}{
		"account deleted":     {func(d directory) { delete(d.accounts, "shop/reviews") }, identity.ErrUnknownAccount},
		"account made anew":   {func(d directory) { d.accounts["shop/reviews"] = "sa-9" }, identity.ErrUnknownAccount},
		"pod deleted":         {func(d directory) { delete(d.pods, "shop/reviews-1") }, identity.ErrUnknownPod},
		"pod made anew":       {func(d directory) { d.pods["shop/reviews-1"] = identity.Pod{UID: "pod-9", Account: "reviews"} }, identity.ErrUnknownPod},
		"pod of another":      {func(d directory) { d.pods["shop/reviews-1"] = identity.Pod{UID: "pod-1", Account: "ratings"} }, identity.ErrMismatch},
		"others come and go ": {func(d directory) { delete(d.accounts, "shop/ratings") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			token := must(m.minter.Mint(reviews("reviews-1")))
			c.change(m.dir)
			if _, err := m.check(token.Text); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestMintRefuses(t *testing.T) {
	m := newMesh(t)
	for name, c := range map[string]struct {
		request satoken.Request
		want    error
	}{
		"unknown account":        {satoken.Request{Namespace: "shop", Account: "nobody", TTL: time.Hour}, identity.ErrUnknownAccount},
		"unknown pod":            {satoken.Request{Namespace: "shop", Account: "reviews", Pod: "nope", TTL: time.Hour}, identity.ErrUnknownPod},
		"pod of another account": {satoken.Request{Namespace: "shop", Account: "ratings", Pod: "reviews-1", TTL: time.Hour}, identity.ErrMismatch},
		"no life":                {satoken.Request{Namespace: "shop", Account: "reviews"}, identity.ErrMalformed},
		"life over a day":        {satoken.Request{Namespace: "shop", Account: "reviews", TTL: 24*time.Hour + 1}, identity.ErrMalformed},
		"name with a slash":      {satoken.Request{Namespace: "shop", Account: "a/b", TTL: time.Hour}, identity.ErrMalformed},
		"audience of 20 KiB":     {satoken.Request{Namespace: "shop", Account: "reviews", Audience: strings.Repeat("x", 20<<10), TTL: time.Hour}, identity.ErrMalformed},
	} {
		if token, err := m.minter.Mint(c.request); !errors.Is(err, c.want) || token.Text != "" {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	good := satoken.Config{TrustDomain: td, Directory: bookshop()}
	for name, make := range map[string]func() error{
		"no trust domain": func() error { _, err := satoken.NewMinter(key, satoken.Config{Directory: bookshop()}); return err },
		"no directory": func() error {
			_, err := satoken.NewAuthenticator(&key.PublicKey, satoken.Config{TrustDomain: td})
			return err
		},
		"no key":           func() error { _, err := satoken.NewMinter(nil, good); return err },
		"no public key":    func() error { _, err := satoken.NewAuthenticator(nil, good); return err },
		"p384":             func() error { _, err := satoken.NewMinter(p384, good); return err },
		"p384 to check by": func() error { _, err := satoken.NewAuthenticator(&p384.PublicKey, good); return err },
	} {
		if make() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func part(t testing.TB, token string, n int) []byte {
	t.Helper()
	return must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n]))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
