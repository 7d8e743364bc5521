package satoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/satoken"
)

// forge signs any claims with any key, as a thief of the signing key could.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	body, ok := claims.(string)
	if !ok {
		body = string(must(json.Marshal(claims)))
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil))
	return must(must(signer.Sign([]byte(body))).CompactSerialize())
}

// claimsOf are good claims, with one changed.
func claimsOf(t testing.TB, token string, edit func(c map[string]any)) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(part(t, token, 1), &c); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(c)
	}
	return c
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	var h struct{ Kid string }
	if err := json.Unmarshal(part(t, token, 0), &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

// TestForgedClaims: even with the right key no token says more than it may.
func TestForgedClaims(t *testing.T) {
	m := newMesh(t)
	good := must(m.minter.Mint(reviews("reviews-1"))).Text
	kid, now := kidOf(t, good), time.Now().Unix()
	kube := func(c map[string]any) map[string]any { return c["kubernetes.io"].(map[string]any) }
	for name, c := range map[string]struct {
		edit func(c map[string]any)
		want error
	}{
		"unchanged":              {nil, nil},
		"expired":                {func(c map[string]any) { c["iat"], c["nbf"], c["exp"] = now-100, now-100, now-1 }, identity.ErrExpired},
		"no exp":                 {func(c map[string]any) { delete(c, "exp") }, identity.ErrMalformed},
		"exp for ever":           {func(c map[string]any) { c["exp"] = int64(1) << 60 }, identity.ErrMalformed},
		"exp as text":            {func(c map[string]any) { c["exp"] = "tomorrow" }, identity.ErrMalformed},
		"life of two days":       {func(c map[string]any) { c["exp"] = now + 2*86400 }, identity.ErrMalformed},
		"no iat":                 {func(c map[string]any) { delete(c, "iat") }, identity.ErrMalformed},
		"from the future":        {func(c map[string]any) { c["nbf"] = now + 60 }, identity.ErrNotYetValid},
		"made in the future":     {func(c map[string]any) { c["iat"] = now + 60 }, identity.ErrNotYetValid},
		"clock a little ahead":   {func(c map[string]any) { c["iat"], c["nbf"] = now+5, now+5 }, nil},
		"no jti":                 {func(c map[string]any) { delete(c, "jti") }, identity.ErrMalformed},
		"wrong audience":         {func(c map[string]any) { c["aud"] = "vault" }, identity.ErrAudience},
		"no audience":            {func(c map[string]any) { delete(c, "aud") }, identity.ErrAudience},
		"one of two audiences":   {func(c map[string]any) { c["aud"] = []string{"vault", "istio-ca"} }, nil},
		"other trust domain":     {func(c map[string]any) { c["iss"] = "https://evil.example" }, identity.ErrTrustDomain},
		"no issuer":              {func(c map[string]any) { delete(c, "iss") }, identity.ErrTrustDomain},
		"sub of another account": {func(c map[string]any) { c["sub"] = "system:serviceaccount:shop:ratings" }, identity.ErrMalformed},
		"sub of a user":          {func(c map[string]any) { c["sub"] = "admin" }, identity.ErrMalformed},
		"no kubernetes.io":       {func(c map[string]any) { delete(c, "kubernetes.io") }, identity.ErrMalformed},
		"account without uid":    {func(c map[string]any) { kube(c)["serviceaccount"] = map[string]any{"name": "reviews"} }, identity.ErrUnknownAccount},
		"pod without name":       {func(c map[string]any) { kube(c)["pod"] = map[string]any{"uid": "pod-1"} }, identity.ErrMalformed},
		"pod that is not there":  {func(c map[string]any) { kube(c)["pod"] = map[string]any{"name": "x", "uid": "pod-1"} }, identity.ErrUnknownPod},
		"name with a slash": {func(c map[string]any) {
			kube(c)["serviceaccount"] = map[string]any{"name": "a/b", "uid": "sa-1"}
			c["sub"] = "system:serviceaccount:shop:a/b"
		}, identity.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.check(forge(t, jose.ES256, m.key, kid, claimsOf(t, good, c.edit)))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestForgedSignatures: without the key nothing is believed, whatever it is wrapped in.
func TestForgedSignatures(t *testing.T) {
	m := newMesh(t)
	good := must(m.minter.Mint(reviews(""))).Text
	kid, claims := kidOf(t, good), claimsOf(t, good, nil)
	parts := strings.Split(good, ".")
	thief := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	encode := base64.RawURLEncoding.EncodeToString
	foreign := spiffeid.RequireTrustDomainFromString("evil.example")
	other := must(satoken.NewMinter(thief, satoken.Config{TrustDomain: foreign, Directory: m.dir}))
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"nothing":             {"", identity.ErrNoProof},
		"garbage":             {"hello", identity.ErrMalformed},
		"64 KiB":              {strings.Repeat("a", 64<<10), identity.ErrMalformed},
		"good, but 20 KiB":    {forge(t, jose.ES256, m.key, kid, claimsOf(t, good, func(c map[string]any) { c["pad"] = strings.Repeat("x", 15<<10) })), identity.ErrMalformed},
		"another key":         {forge(t, jose.ES256, thief, kid, claims), identity.ErrSignature},
		"another key ID":      {forge(t, jose.ES256, m.key, "other", claims), identity.ErrSignature},
		"no key ID":           {forge(t, jose.ES256, m.key, "", claims), identity.ErrSignature},
		"another mesh":        {must(other.Mint(reviews(""))).Text, identity.ErrTrustDomain},
		"RS256":               {forge(t, jose.RS256, must(rsa.GenerateKey(rand.Reader, 2048)), kid, claims), identity.ErrMalformed},
		"HMAC":                {forge(t, jose.HS256, must(m.key.PublicKey.Bytes()), kid, claims), identity.ErrMalformed},
		"alg none":            {encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", identity.ErrMalformed},
		"signature cut":       {good[:len(good)-4], identity.ErrSignature},
		"no signature":        {parts[0] + "." + parts[1] + ".", identity.ErrSignature},
		"claims swapped":      {parts[0] + "." + encode([]byte(`{"sub":"x"}`)) + "." + parts[2], identity.ErrSignature},
		"JSON form":           {fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]), identity.ErrMalformed},
		"four parts":          {good + ".x", identity.ErrMalformed},
		"claim twice":         {forge(t, jose.ES256, m.key, kid, `{"aud":"vault","aud":"istio-ca"}`), identity.ErrMalformed},
		"claims no object":    {forge(t, jose.ES256, m.key, kid, `[]`), identity.ErrMalformed},
		"white space around ": {" " + good, identity.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := m.check(c.token)
			if !errors.Is(err, c.want) || caller != (identity.Caller{}) {
				t.Fatalf("got %+v, %v, want %v", caller, err, c.want)
			}
			if len(c.token) > 40 && strings.Contains(err.Error(), c.token[len(c.token)-20:]) {
				t.Error("the error quotes the token")
			}
		})
	}
}

func FuzzAuthenticate(f *testing.F) {
	m := newMesh(f)
	good := must(m.minter.Mint(reviews("reviews-1"))).Text
	f.Add(good)
	f.Add("a.b.c")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, token string) {
		caller, err := m.check(token)
		// Base64 and ECDSA have more than one spelling; there is one meaning.
		if err == nil && caller.Pod != "reviews-1" {
			t.Fatalf("believed %q as %v", token, caller)
		}
		if err != nil && caller != (identity.Caller{}) {
			t.Fatal("a caller beside an error")
		}
	})
}

// FuzzClaims gives the key to the fuzzer: it must not become somebody else.
func FuzzClaims(f *testing.F) {
	m := newMesh(f)
	good := must(m.minter.Mint(reviews("reviews-1"))).Text
	kid := kidOf(f, good)
	f.Add(string(part(f, good, 1)))
	f.Add(`{"exp":1e400}`)
	f.Fuzz(func(t *testing.T, claims string) {
		caller, err := m.check(forge(t, jose.ES256, m.key, kid, claims))
		if err == nil && (caller.Account.Name != "reviews" || caller.Expires.Before(time.Now())) {
			t.Fatalf("believed %s as %+v", claims, caller)
		}
	})
}
