package vault

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// newRequest asks for an issuer of the default life, as package ca does.
func newRequest(t *testing.T) ca.IssuerRequest {
	t.Helper()
	key := catest.NewKey(t)
	now := time.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(ca.DefaultIssuerLifetime),
		Subject: pkix.Name{Organization: []string{catest.TrustDomain.Name()}, CommonName: "Ensign issuer test"},
		IsCA:    true, MaxPathLenZero: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains: []string{catest.TrustDomain.Name()}, PermittedDNSDomainsCritical: true,
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: template.Subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	return ca.IssuerRequest{Template: template, PublicKey: key.Public(), CSR: csr}
}

// appRole mounts AppRole with a role whose tokens live for a time.
func appRole(t *testing.T, v *vaultd.Server, life string) Auth {
	t.Helper()
	v.Write(t, "sys/auth/approle", map[string]any{"type": "approle"})
	v.Write(t, "auth/approle/role/ensignd", map[string]any{"token_policies": "ensign-daily", "token_ttl": life, "token_max_ttl": "1h"})
	role, err := v.API.Logical().Read("auth/approle/role/ensignd/role-id")
	if err != nil {
		t.Fatal(err)
	}
	secret := v.Write(t, "auth/approle/role/ensignd/secret-id", nil)
	path := filepath.Join(t.TempDir(), "secret-id")
	write(t, path, fmt.Sprint(secret.Data["secret_id"]))
	return AppRole("approle", fmt.Sprint(role.Data["role_id"]), path)
}

// jwtAuth mounts JWT somewhere with one key, and leaves a token in a file.
func jwtAuth(t *testing.T, v *vaultd.Server, mount string) Auth {
	t.Helper()
	key := catest.NewKey(t)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	v.Write(t, "sys/auth/"+mount, map[string]any{"type": "jwt"})
	v.Write(t, "auth/"+mount+"/config", map[string]any{
		"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	v.Write(t, "auth/"+mount+"/role/ensignd", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault",
		"bound_subject": "system:serviceaccount:ensign:ensignd", "token_policies": "ensign-daily", "token_ttl": "1h"})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{Subject: "system:serviceaccount:ensign:ensignd", Audience: jwt.Audience{"vault"},
		Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)), IssuedAt: jwt.NewNumericDate(time.Now())}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "jwt")
	write(t, path, text)
	return JWT(mount, "ensignd", path)
}

func TestWaysToLogIn(t *testing.T) {
	s := newSet(t)
	ways := map[string]Auth{"token file": s.cfg.Auth, "AppRole": appRole(t, s.vault, "1h"), "JWT": jwtAuth(t, s.vault, "mesh"),
		"Kubernetes": jwtAuth(t, s.vault, "kubernetes")} // the same wire; its method is a plugin
	for name, way := range ways {
		s.cfg.Auth = way
		if _, err := s.first(t).CertifyIssuer(t.Context(), newRequest(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	write(t, wrong, "00000000-0000-0000-0000-000000000000")
	for name, way := range map[string]Auth{
		"token file": TokenFile(wrong), "AppRole": AppRole("approle", "nobody", wrong),
		"JWT": JWT("mesh", "ensignd", wrong), "no such method": JWT("nowhere", "ensignd", wrong),
	} {
		s.cfg.Auth = way
		_, err := s.first(t).CertifyIssuer(t.Context(), newRequest(t))
		if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrRefused) {
			t.Errorf("%s with wrong credentials: %v", name, err)
		} else if says := err.Error(); !strings.Contains(says, wrong) || !strings.Contains(says, "deploy/vault/README.md") {
			t.Errorf("%s: it does not say what to do: %s", name, says)
		}
	}
}

// TestARevokedTokenIsReplaced where there is something to log in with; with a token
// file it is an error until the file holds another.
func TestARevokedTokenIsReplaced(t *testing.T) {
	s := newSet(t)
	inFile := s.first(t)
	s.cfg.Auth = appRole(t, s.vault, "1h")
	byRole := s.first(t)
	for name, up := range map[string]*root{"file": inFile, "role": byRole} {
		if _, err := up.CertifyIssuer(t.Context(), newRequest(t)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.vault.Write(t, "auth/token/revoke", map[string]any{"token": up.place.daily.held.secret})
	}
	if _, err := byRole.CertifyIssuer(t.Context(), newRequest(t)); err != nil {
		t.Errorf("a new login would have cured this: %v", err)
	}
	if _, err := inFile.CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrDenied) {
		t.Errorf("a revoked token: %v", err)
	}
	if at := testutil.ToFloat64(inFile.place.daily.metrics.expiry); at != 0 {
		t.Errorf("the token of a client without one ends at %v", at)
	}
	write(t, s.tokens, s.vault.NewToken(t, "1h", "ensign-daily"))
	if _, err := inFile.CertifyIssuer(t.Context(), newRequest(t)); err != nil {
		t.Errorf("another token in the file: %v", err)
	}
}

// TestTokensAreKeptAlive past their own life: renewed, and where renewal has come to
// its end replaced.
func TestTokensAreKeptAlive(t *testing.T) {
	t.Parallel() // for most of the time it waits
	s := newSet(t)
	// Long enough for a busy machine to come to its renewal: another in the file there is none.
	write(t, s.tokens, s.vault.NewToken(t, "12s", "ensign-daily"))
	inFile := s.first(t)
	s.cfg.Auth = appRole(t, s.vault, "4s")
	s.vault.Write(t, "auth/approle/role/ensignd", map[string]any{"token_ttl": "4s", "token_max_ttl": "6s"})
	byRole := s.first(t)
	ups := []*root{inFile, byRole}
	first := map[*root]string{}
	for _, up := range ups {
		go func() { _ = up.place.daily.run(t.Context()) }()
		first[up] = eventually(t, up, func(held token) bool { return held.secret != "" }).secret
	}
	eventually(t, byRole, func(held token) bool { return held.secret != first[byRole] })
	time.Sleep(13 * time.Second) // more than the life that the token in the file began with
	for _, up := range ups {
		if _, err := up.CertifyIssuer(t.Context(), newRequest(t)); err != nil {
			t.Error(err)
		}
	}
	if held := eventually(t, inFile, func(held token) bool { return true }); held.secret != first[inFile] {
		t.Error("the token in the file was replaced")
	}
}

func eventually(t *testing.T, up *root, good func(token) bool) token {
	t.Helper()
	for range 600 {
		release, err := up.place.daily.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held := up.place.daily.held
		release()
		if good(held) {
			return held
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("never")
	return token{}
}
