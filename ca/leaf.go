package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"
)

const serialBits = 128

// prepared is a leaf that may be signed once. Only prepare makes one, and only
// lint lets it be signed.
type prepared struct {
	issuer   *issuer
	template *x509.Certificate
	csr      []byte // the asker's request, for a remote
	want     expectation
	linted   []byte // the to-be-signed bytes that passed the checks
	used     atomic.Bool
}

// prepare describes the leaf of a subject that was admitted.
func (i *issuer) prepare(who subject, profile Profile, asked time.Duration, now time.Time) (*prepared, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := profile.validity(now, asked, i.cert.NotBefore, i.cert.NotAfter)
	template := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              i.leafKeyUsage(who.key),
		ExtKeyUsage:           who.usages,
		BasicConstraintsValid: true,
	}
	who.name(template)
	want := expectation{
		keyUsage: template.KeyUsage, serialBits: serialBits, slack: time.Second,
		san: who.san, usages: who.usages, key: who.key, spki: who.spki, serial: serial,
		notBefore: notBefore, notAfter: notAfter, now: now, longest: profile.longest, issuer: i.cert,
	}
	return &prepared{issuer: i, template: template, csr: who.csr, want: want}, nil
}

// lint encodes what is to be signed and checks it. Nothing is signed yet.
func (p *prepared) lint() error {
	tbs, err := toBeSigned(p.template, p.issuer.cert, p.want.key)
	if err != nil {
		return err
	}
	unsigned, err := parseTBS(tbs, noSignature, algorithmOf(p.issuer.cert))
	if err != nil {
		return misissued("encoding", "what is to be signed is not readable: %v", err)
	}
	if err := lintLeaf(unsigned, p.want); err != nil {
		return err
	}
	p.linted = tbs
	return nil
}

// sign signs what was linted, or has it signed, once.
func (p *prepared) sign(ctx context.Context) (*x509.Certificate, error) {
	if p.linted == nil {
		return nil, misissued("linted", "certificate was not checked before signing")
	}
	if !p.used.CompareAndSwap(false, true) {
		return nil, misissued("once", "certificate was signed before")
	}
	if p.issuer.remote != nil {
		leaf, err := p.issuer.remote.SignLeaf(ctx, LeafRequest{Template: p.template, CSR: p.csr})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRemote, err)
		}
		if leaf == nil {
			return nil, misissued("answer", "there is no certificate in it")
		}
		return leaf, nil
	}
	leaf, err := signTBS(p.linted, p.issuer.cert, p.issuer.key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	return leaf, nil
}

// validate checks what was signed as a stranger would, and against what was linted.
func (p *prepared) validate(leaf *x509.Certificate) error {
	want := p.want
	if p.issuer.remote != nil {
		want = want.chosen(leaf)
	} else if !bytes.Equal(leaf.RawTBSCertificate, p.linted) {
		return misissued("as_linted", "signed bytes are not those that were checked")
	}
	if err := lintLeaf(leaf, want); err != nil {
		return err
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         p.issuer.anchor,
		Intermediates: p.issuer.between,
		CurrentTime:   p.want.now,
		KeyUsages:     p.want.usages,
	})
	if err != nil {
		return misissued("chain", "certificate does not lead to a root: %v", err)
	}
	return nil
}

// newSerial is a positive number of 128 random bits.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), serialBits)
	for {
		serial, err := rand.Int(rand.Reader, limit)
		if err != nil {
			return nil, fmt.Errorf("making serial: %w", err)
		}
		if serial.BitLen() >= serialBits/2 {
			return serial, nil
		}
	}
}
