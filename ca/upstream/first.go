package upstream

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// rootYears is the life of a built-in root.
const rootYears = 10

func (c Config) file() string       { return filepath.Join(c.Dir, "root.pem") }
func (c Config) pending() string    { return c.file() + ".pending" }
func (c Config) bundleFile() string { return filepath.Join(c.Dir, "bundle.pem") }
func (c Config) ledgerFile() string { return filepath.Join(c.Dir, "ledger.db") }

// root loads the root, finishes a half-made one, or makes one.
func (c Config) root(ctx context.Context) (crypto.Signer, *x509.Certificate, error) {
	cert, err := readCertificate(c.file())
	if err == nil {
		key, err := c.keyOf(c.file(), firstName)
		if err != nil {
			return nil, nil, err
		}
		if err := c.check(key, cert, time.Now()); err != nil {
			return nil, nil, err
		}
		return key, cert, c.checkRecorded(ctx, key, cert)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	cert, err = readCertificate(c.pending())
	if err == nil {
		key, err := c.keyOf(c.pending(), firstName)
		if err != nil {
			return nil, nil, err
		}
		return key, cert, c.finish(ctx, key, cert)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	return c.makeRoot(ctx)
}

// keyOf reads the key that belongs to a certificate which is there.
func (c Config) keyOf(file, name string) (crypto.Signer, error) {
	key, err := c.Keys.ReadKey(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there but its key is not: restore the key folder from a backup, or move %s away to begin with a new root", file, file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	return key, nil
}

// makeRoot goes from nothing, or from a key alone, to the first root.
func (c Config) makeRoot(ctx context.Context) (crypto.Signer, *x509.Certificate, error) {
	key, cert, err := c.create(ctx, firstName, c.pending())
	if err != nil {
		return nil, nil, err
	}
	return key, cert, c.finish(ctx, key, cert)
}

// create goes from nothing, or from a key alone, to a durable certificate.
func (c Config) create(ctx context.Context, keyName, file string) (crypto.Signer, *x509.Certificate, error) {
	key, err := c.Keys.EnsureKey(keyName, newKey)
	if err != nil {
		return nil, nil, fmt.Errorf("making root key: %w", err)
	}
	past, err := c.history(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if err := c.checkNew(past, file); err != nil {
		return nil, nil, err
	}
	template, err := c.template(time.Now())
	if err != nil {
		return nil, nil, err
	}
	cert, err := create(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing root: %w", err)
	}
	bundle, err := ca.NewBundle(cert)
	if err != nil {
		return nil, nil, err
	}
	return key, cert, durable.WriteFile(file, []byte(bundle.PEM()), 0o644)
}

// finish records a pending root, unless that was done before a crash, and puts
// it in force.
func (c Config) finish(ctx context.Context, key crypto.Signer, cert *x509.Certificate) error {
	now := time.Now()
	if err := c.check(key, cert, now); err != nil {
		return err
	}
	past, err := c.history(ctx, key)
	if err != nil {
		return err
	}
	if !past.holds(cert) {
		if err := c.checkNew(past, c.file()); err != nil {
			return err
		}
		if _, err := c.Ledger.Append(ctx, ca.CertificateEntry(ca.KindRoot, cert, cert, now)); err != nil {
			return fmt.Errorf("%w: recording the root: %w", ca.ErrLedger, err)
		}
	}
	if err := durable.Rename(c.pending(), c.file()); err != nil {
		return err
	}
	c.Logger.InfoContext(ctx, "root in force", slog.String("subject", cert.Subject.String()),
		slog.Time("not_after", cert.NotAfter))
	return nil
}

func (c Config) template(now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making serial of the root: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // never zero
		Subject: pkix.Name{
			Organization: []string{c.TrustDomain.Name()},
			CommonName:   "Ensign root " + strings.ToLower(rand.Text()[:12]),
		},
		NotBefore:             now.Add(-ca.Backdate),
		NotAfter:              now.AddDate(rootYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // issuers, and nothing that signs further CAs
	}, nil
}

// check says whether key and certificate are one usable root of this mesh.
func (c Config) check(key crypto.Signer, cert *x509.Certificate, now time.Time) error {
	if err := c.checkOne(key, cert); err != nil {
		return err
	}
	if !now.Before(cert.NotAfter) {
		return fmt.Errorf("root %q has expired at %s", cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkOne says whether key and certificate are one root of this mesh.
func (c Config) checkOne(key crypto.Signer, cert *x509.Certificate) error {
	switch {
	case !samePublicKey(cert, key):
		return fmt.Errorf("root certificate %q in %s and the root key do not belong together: restore both from one backup", cert.Subject, c.Dir)
	case cert.CheckSignatureFrom(cert) != nil:
		return fmt.Errorf("root certificate %q in %s is not signed by itself: restore it from a backup", cert.Subject, c.Dir)
	case !slices.Equal(cert.Subject.Organization, []string{c.TrustDomain.Name()}):
		return fmt.Errorf("data folder %s belongs to trust domain %q, not to %q: use another folder or --trust-domain",
			c.Dir, cert.Subject.Organization, c.TrustDomain.Name())
	}
	return nil
}
