package vault

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca/rotation"
)

// rootPrefix begins the common name of each root that Ensign makes. The policies
// tell by it whether a certificate is an issuer's or a root's.
const rootPrefix = "Ensign root "

// RootLife is how long a root in Vault lives; deploy/vault pins it.
const RootLife = 87600 * time.Hour

// rootBackdate is how long before its making a root begins, so that issuers, which
// begin ten minutes before theirs, do not begin before it: Vault refuses that.
const rootBackdate = 15 * time.Minute

var nameForm = regexp.MustCompile(`^ensign-[a-z0-9-]{1,33}$`)

// Make implements [rotation.Place]: a further issuer of the mount, its key made in
// Vault; nothing that is there is changed. It ends within [Config].Timeout. Errors
// wrap [ErrNoRotation] without credentials for it, and [ErrByHand] under an outside
// root: a person who did what the second says calls again, and Make finds it.
func (p *Place) Make(ctx context.Context, name string) (rotation.Root, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("making a root in vault: %q is not ensign- and lower-case letters, digits and -", name)
	}
	if p.rotation == nil {
		return nil, fmt.Errorf("making root %s: %w", name, ErrNoRotation)
	}
	ctx, cancel := p.rotation.bounded(ctx)
	defer cancel()
	there, err := p.rotation.has(ctx, name)
	if err == nil && !there {
		err = p.generate(ctx, name)
	}
	var chain []*x509.Certificate
	if err == nil {
		chain, err = p.rotation.chain(ctx, name)
	}
	if err == nil {
		err = checkMade(chain, name, p.cfg.TrustDomain, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("making root %s in vault: %w", name, err)
	}
	return p.root(name, chain), nil
}

// generate makes the root, unless another replica is faster.
func (p *Place) generate(ctx context.Context, name string) error {
	if err := p.checkNoOutside(ctx, name); err != nil {
		return err
	}
	_, err := p.rotation.write(ctx, p.cfg.Mount+"/root/rotate/internal", rootRequest(name, p.cfg.TrustDomain.Name()))
	if err != nil {
		// The name was free a moment ago: Vault refuses a second root of it.
		if there, lookErr := p.rotation.has(ctx, name); lookErr != nil || !there {
			return err
		}
		return nil
	}
	p.cfg.Logger.InfoContext(ctx, "root made in vault", slog.String("issuer", name))
	return nil
}

// rootRequest is the request for a new root. Each field is one that the policy in
// deploy/vault pins or demands.
func rootRequest(name, trustDomain string) map[string]any {
	return map[string]any{
		"issuer_name":           name,
		"common_name":           rootPrefix + name,
		"organization":          trustDomain,
		"exclude_cn_from_sans":  "true",
		"key_type":              "ec",
		"key_bits":              "256",
		"max_path_length":       "1",
		"permitted_uri_domains": trustDomain,
		"not_before_duration":   seconds(rootBackdate),
		"ttl":                   fmt.Sprintf("%dh", RootLife/time.Hour),
	}
}

// checkNoOutside refuses to make a root of its own beside an intermediate: who has
// an outside root wants the next one under an outside root too.
func (p *Place) checkNoOutside(ctx context.Context, name string) error {
	if p.cfg.Issuer == "" {
		return nil
	}
	chain, err := p.rotation.chain(ctx, p.cfg.Issuer)
	if err != nil {
		return fmt.Errorf("reading issuer %s, to see whether a root outside of vault is above it: %w", p.cfg.Issuer, err)
	}
	if len(chain) == 1 {
		return nil
	}
	return fmt.Errorf("%w: issuer %s is under the outside root %q, whose next one only its owner can make. %s",
		ErrByHand, p.cfg.Issuer, chain[len(chain)-1].Subject, p.byHand(name))
}

// byHand is what a person types to put an intermediate under another outside root.
func (p *Place) byHand(name string) string {
	return strings.NewReplacer("MOUNT", p.cfg.Mount, "NAME", name, "DOMAIN", p.cfg.TrustDomain.Name()).Replace(
		"As an administrator of vault: " +
			"(1) `vault write -field=csr MOUNT/intermediate/generate/internal key_type=ec key_bits=256 common_name='" + rootPrefix + "NAME' organization=DOMAIN exclude_cn_from_sans=true >NAME.csr`; " +
			"(2) have the owner of the new outside root sign NAME.csr with the same subject, path length 1, not before 15 minutes ago, the URI name constraint DOMAIN: NAME.pem; " +
			"(3) `vault write -format=json MOUNT/intermediate/set-signed certificate=@NAME.pem` and `vault write MOUNT/issuers/import/cert pem_bundle=@outside-root.pem`; " +
			"(4) `vault write MOUNT/issuer/ID issuer_name=NAME` with the ID that step 3 shows under imported_issuers. " +
			"The rotation goes on by itself when it finds NAME")
}
