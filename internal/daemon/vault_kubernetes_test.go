package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/upstream/vault"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/kube"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// cluster is a real API server with the accounts of ensignd, and a real Vault that has
// their tokens reviewed by it, as deploy/vault/setup.sh sets that up.
type cluster struct {
	*kube.Server
	vault *vaultd.Server
	dir   string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	plugin := need.VaultKubernetes(t)
	c := &cluster{kube.Start(t), vaultd.Start(t), t.TempDir()}
	for _, name := range []string{"vault-reviewer", "ensignd", "ensignd-rotation", "web"} {
		c.NewAccount(t, "istio-system", name)
	}
	c.NewAccount(t, "shop", "ensignd")
	c.Bind(t, "system:auth-delegator", "istio-system", "vault-reviewer")
	c.vault.Register(t, "kubernetes", plugin)
	reviewer := c.file(t, "reviewer", c.Token(t, "istio-system", "vault-reviewer"))
	for _, mount := range []string{"kubernetes", "clusters/one"} {
		c.vault.Setup(t, "KUBERNETES_HOST="+c.Address, "KUBERNETES_CA="+c.CAFile, "KUBERNETES_REVIEWER="+reviewer, "KUBERNETES_MOUNT="+mount)
	}
	return c
}

// file writes a credential, as the kubelet does.
func (c *cluster) file(t *testing.T, name, token string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(token), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *cluster) flags(ways ...string) []string {
	return append([]string{"--vault-addr", c.vault.Address, "--vault-ca", c.vault.CAFile, "--vault-issuer", "ensign-1"}, ways...)
}

// forgetful takes any root for the first one.
type forgetful struct{ vault.Ledger }

func (forgetful) Roots(context.Context) ([]ca.Entry, error)        { return nil, nil }
func (forgetful) Append(context.Context, ca.Entry) (uint64, error) { return 1, nil }

// certify has Vault sign an issuer, after a login with a token of Kubernetes.
func (c *cluster) certify(t *testing.T, way, token string) error {
	t.Helper()
	f := vaultFlagsOf(t, c.flags("--vault-auth", way+":"+c.file(t, "token", token))...)
	place, err := f.place(spiffeid.RequireTrustDomainFromString("cluster.local"), forgetful{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := place.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = root.CertifyIssuer(t.Context(), issuerRequest(t))
	return err
}

// issuerRequest is what package ca asks for.
func issuerRequest(t *testing.T) ca.IssuerRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(ca.DefaultIssuerLifetime),
		Subject: pkix.Name{Organization: []string{"cluster.local"}, CommonName: "Ensign issuer test"},
		IsCA:    true, MaxPathLenZero: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains: []string{"cluster.local"}, PermittedDNSDomainsCritical: true,
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: template.Subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	return ca.IssuerRequest{Template: template, PublicKey: key.Public(), CSR: csr}
}

// TestVaultTakesTokensOfKubernetes from ensignd, by the flags that people type, and no
// others.
func TestVaultTakesTokensOfKubernetes(t *testing.T) {
	c := newCluster(t)
	t.Run("which ones", func(t *testing.T) { whichTokens(t, c) })
	t.Run("from day to day", func(t *testing.T) { fromDayToDay(t, c) })
}

func whichTokens(t *testing.T, c *cluster) {
	const daily, elsewhere = "kubernetes:ensignd", "kubernetes@clusters/one:ensignd"
	good := c.Token(t, "istio-system", "ensignd", "vault")
	for _, way := range []string{daily, elsewhere} {
		if err := c.certify(t, way, good); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	c.NewAccount(t, "istio-system", "gone")
	c.vault.Write(t, "auth/kubernetes/role/gone", map[string]any{"bound_service_account_names": "gone",
		"bound_service_account_namespaces": "istio-system", "audience": "vault", "token_policies": "ensign-daily"})
	gone := c.Token(t, "istio-system", "gone", "vault")
	c.DeleteAccount(t, "istio-system", "gone")
	for name, is := range map[string]struct {
		way, token, says string
	}{
		"another audience":    {daily, c.Token(t, "istio-system", "ensignd", "istio-ca"), "audience"},
		"the API server's":    {daily, c.Token(t, "istio-system", "ensignd"), "audience"},
		"another account":     {daily, c.Token(t, "istio-system", "web", "vault"), "service account name not authorized"},
		"another namespace":   {daily, c.Token(t, "shop", "ensignd", "vault"), "namespace not authorized"},
		"the rotation's role": {elsewhere + "-rotation", good, "service account name not authorized"},
		"no such role":        {"kubernetes:nobody", good, "invalid role name"},
		"no such method":      {"kubernetes@nowhere:ensignd", good, "permission denied"},
		"expired":             {daily, c.Ended(t, good, time.Now().Add(-time.Hour)), "expired"},
		"signed by nobody":    {daily, good[:strings.LastIndex(good, ".")+1] + strings.Repeat("A", 86), "permission denied"},
		"of a deleted one":    {"kubernetes:gone", gone, "permission denied"},
		"no token":            {daily, "nothing", ""},
	} {
		err := c.certify(t, is.way, is.token)
		if !errors.Is(err, vault.ErrDenied) && !errors.Is(err, vault.ErrRefused) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, says := range []string{is.says, filepath.Join(c.dir, "token") + " has to hold", "deploy/vault/README.md"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: it does not say %q: %v", name, says, err)
			}
		}
		if strings.Contains(err.Error(), is.token) {
			t.Errorf("%s: it says the token", name)
		}
	}
}

// fromDayToDay: the mesh begins in Vault; when ensignd's account is gone, status says so
// and the live issuer goes on; another token in the file cures it, and the root moves on.
func fromDayToDay(t *testing.T, c *cluster) {
	// Short lives, so that there is a login every few seconds.
	c.vault.Write(t, "auth/kubernetes/role/ensignd", map[string]any{"token_ttl": "3s", "token_max_ttl": "3s"})
	file := c.file(t, "daily", c.Token(t, "istio-system", "ensignd", "vault"))
	rotation := c.file(t, "rotation", c.Token(t, "istio-system", "ensignd-rotation", "vault"))
	p := startProcess(t, t.TempDir(), append(c.flags("--vault-auth", "kubernetes:ensignd:"+file,
		"--vault-rotation-auth", "kubernetes@clusters/one:ensignd-rotation:"+rotation), "--root", "vault")...)
	u := enroll(p, "web-1", true)
	dismiss := school(t, u)
	first := p.until("well", func(a *ensignv1.Authority) bool { return a.Upstream.Problem == "" })
	if s := signing(first); s.Place != "vault" || first.Issuer.Root != s.Fingerprint {
		t.Errorf("it began with %v", first)
	}

	last := c.Token(t, "istio-system", "ensignd", "vault")
	c.DeleteAccount(t, "istio-system", "ensignd")
	c.file(t, "daily", last)
	p.until("refused", func(a *ensignv1.Authority) bool {
		return strings.Contains(a.Upstream.Problem, file+" has to hold")
	})
	dismissLater := school(t, enroll(p, "web-2", true)) // issuance goes on
	// An account of the same name is another one: its old tokens stay void.
	c.NewAccount(t, "istio-system", "ensignd")
	if err := c.certify(t, "kubernetes:ensignd", last); !errors.Is(err, vault.ErrDenied) {
		t.Errorf("with a token of the one before: %v", err)
	}
	c.file(t, "daily", c.Token(t, "istio-system", "ensignd", "vault"))
	p.until("well again", func(a *ensignv1.Authority) bool { return a.Upstream.Problem == "" })

	begun, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Window: durationpb.New(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	id := begun.Authority.Rotation.Id
	done := p.until("completed", func(a *ensignv1.Authority) bool {
		return a.Rotation.GetId() == id && a.Rotation.Outcome == "completed"
	})
	if signing(done).Fingerprint == signing(first).Fingerprint || done.Issuer.Root != signing(done).Fingerprint {
		t.Errorf("%v", done)
	}
	dismiss()
	dismissLater()
}
