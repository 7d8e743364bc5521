package upstream

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// history is what the ledger says of one root key.
type history []ca.Entry

func (c Config) history(ctx context.Context, key crypto.Signer) (history, error) {
	roots, err := c.Ledger.Roots(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the roots of the ledger: %w", err)
	}
	print, err := ca.KeyFingerprint(key.Public())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(roots, func(e ca.Entry) bool { return e.Key != print }), nil
}

func (h history) holds(cert *x509.Certificate) bool {
	print := ca.Fingerprint(cert)
	return slices.ContainsFunc(h, func(e ca.Entry) bool { return e.Certificate == print })
}

// checkRecorded demands that the ledger tells of the root in force.
func (c Config) checkRecorded(ctx context.Context, key crypto.Signer, cert *x509.Certificate) error {
	past, err := c.history(ctx, key)
	if err != nil {
		return err
	}
	if past.holds(cert) {
		return nil
	}
	return fmt.Errorf("%w: %s was emptied, or is of another folder: restore it with its .checkpoint from a backup, or, "+
		"to go on without the record of what was issued, rename %s to %s: the next start records the root anew",
		ErrUnrecorded, c.ledgerFile(), c.file(), c.pending())
}

// checkNew demands that a key which gets a certificate never had another.
func (c Config) checkNew(past history, file string) error {
	if len(past) == 0 {
		return nil
	}
	known := past[len(past)-1]
	return fmt.Errorf("%w: %s is not there, but the root key is, and the ledger shows that its certificate %s was in force at %s: "+
		"restore the file from a backup; %s and every agent's trust bundle hold the same certificate",
		ErrLost, file, known.Certificate, known.Time.UTC().Format(time.RFC3339), c.bundleFile())
}
