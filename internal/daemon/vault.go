package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca/upstream/vault"
)

// vaultFlags say where Vault is, and with what ensignd logs in.
type vaultFlags struct {
	Address      string
	CAFile       string
	Namespace    string
	Mount        string
	Issuer       string
	Sign         string
	Role         string
	Auth         string
	RotationAuth string
}

const authForms = "token:FILE, approle[@MOUNT]:ROLE-ID:FILE, jwt[@MOUNT]:ROLE:FILE or kubernetes[@MOUNT]:ROLE:FILE"

func (f *vaultFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.Address, "vault-addr", "", "URL of the Vault in which roots may live, as https://vault.example:8200; empty: none")
	flags.StringVar(&f.CAFile, "vault-ca", "", "PEM file of the roots of Vault's own certificate (default: the system's)")
	flags.StringVar(&f.Namespace, "vault-namespace", "", "namespace of Vault Enterprise or HCP")
	flags.StringVar(&f.Mount, "vault-mount", "ensign", "path of the PKI engine that is this mesh's own")
	flags.StringVar(&f.Issuer, "vault-issuer", "", "name of the mount's issuer that the mesh begins with (--root vault)")
	flags.StringVar(&f.Sign, "vault-sign", signIssuers, "what Vault signs: issuers (of ensignd, which sign SVIDs), or leaves (each SVID itself, so that no signing key is outside of it)")
	flags.StringVar(&f.Role, "vault-role", "", "the mount's role for SVIDs (--vault-sign leaves); with -server behind it the one for ensignd's own certificates")
	flags.StringVar(&f.Auth, "vault-auth", "", "how to log in to have issuers or leaves signed: "+authForms)
	flags.StringVar(&f.RotationAuth, "vault-rotation-auth", "", "how to log in to make roots, in the same forms; empty: no rotation to Vault")
}

// What Vault signs.
const (
	signIssuers = "issuers"
	signLeaves  = "leaves"
)

// set says whether there is a Vault at all.
func (f *vaultFlags) set() bool { return f.Address != "" }

// check demands flags that go together; each error says which and what to write.
func (f *vaultFlags) check() error {
	if !f.set() {
		if f.CAFile+f.Namespace+f.Issuer+f.Role+f.Auth+f.RotationAuth != "" || f.Sign != signIssuers {
			return errors.New("--vault-addr is missing, and other flags of Vault are there: give its URL, or leave them all out")
		}
		return nil
	}
	if f.Auth == "" {
		return errors.New("--vault-auth is missing: want " + authForms)
	}
	if f.RotationAuth == f.Auth {
		return errors.New("--vault-rotation-auth is that of --vault-auth: what ensignd does every day must not be able to make roots; give it a login of its own")
	}
	switch {
	case f.Sign != signIssuers && f.Sign != signLeaves:
		return fmt.Errorf("--vault-sign %q: want issuers or leaves", f.Sign)
	case f.Sign == signLeaves && f.Role == "":
		return errors.New("--vault-sign leaves needs --vault-role: give the role that deploy/vault/setup.sh made by ROLE=NAME")
	case f.Sign == signIssuers && f.Role != "":
		return errors.New("--vault-role is of use only with --vault-sign leaves")
	}
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("--vault-*: %w", err)
	}
	return nil
}

// config is what the flags say.
func (f *vaultFlags) config() (vault.Config, error) {
	cfg := vault.Config{Address: f.Address, CAFile: f.CAFile, Namespace: f.Namespace, Mount: f.Mount, Issuer: f.Issuer, Role: f.Role}
	var err error
	if cfg.Auth, err = vaultAuth("--vault-auth", f.Auth); err != nil || f.RotationAuth == "" {
		return cfg, err
	}
	cfg.RotationAuth, err = vaultAuth("--vault-rotation-auth", f.RotationAuth)
	return cfg, err
}

// place is where roots live in Vault. It asks nobody.
func (f *vaultFlags) place(td spiffeid.TrustDomain, ledger vault.Ledger, log *slog.Logger, reg prometheus.Registerer) (*vault.Place, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	cfg.TrustDomain, cfg.Ledger, cfg.Logger, cfg.Metrics = td, ledger, log, reg
	place, err := vault.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("--vault-*: %w", err)
	}
	return place, nil
}

// vaultAuth reads one of authForms. The file may not exist yet: it is read anew with
// each login.
func vaultAuth(flag, text string) (vault.Auth, error) {
	method, rest, _ := strings.Cut(text, ":")
	method, mount, mounted := strings.Cut(method, "@")
	if !mounted {
		mount = method
	}
	if method == "token" && !mounted && rest != "" {
		return vault.TokenFile(rest), nil
	}
	role, file, _ := strings.Cut(rest, ":")
	if role == "" || file == "" || !vault.ValidMount(mount) {
		return nil, fmt.Errorf("%s %q: want %s", flag, text, authForms)
	}
	switch method {
	case "approle":
		return vault.AppRole(mount, role, file), nil
	case "jwt", "kubernetes":
		return vault.JWT(mount, role, file), nil
	}
	return nil, fmt.Errorf("%s %q: want %s", flag, text, authForms)
}
