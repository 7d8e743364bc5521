package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// Config is what a Service needs. TrustDomain, Profile, Upstream and Ledger are
// required, and LiveIssuers with Issuers.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Profile     Profile
	Upstream    Upstream
	Ledger      Ledger

	// Issuers keeps the keys of issuers over a restart. Nil: they end with the process.
	Issuers IssuerStore
	// LiveIssuers are the ledger's entries of issuers that are not expired.
	LiveIssuers func(ctx context.Context, now time.Time) ([]Recorded, error)

	// Admit is asked before an SVID is made; its error refuses the caller. done is
	// called once the ledger has the SVID, or nothing will come of it: what happens
	// to the caller in between waits for that. Nil admits everybody.
	Admit func(ctx context.Context, c identity.Caller) (done func(), err error)
	// Introduce makes an issuer known to who must know it before its first SVID. It
	// is called again after an error and after a crash, and may take long: the issuer
	// before goes on. Nil: nobody must know.
	Introduce func(ctx context.Context, issuer *x509.Certificate) error
	// Revoked says whether an issuer is not to be believed any more, by its serial
	// (lower-case hex). It is called between Admit and done, so it may not wait for
	// either. Nil: none is.
	Revoked func(issuerSerial string) bool

	// Remote is who signs leaves for the root that signs now; nil if that certifies
	// issuers. Nil: it always does.
	Remote func() Remote

	// RevokedKey says whether a key (see [Entry].Key) was that of a certificate which is
	// revoked: who stole it must not get another by its owner's doing. It is called as
	// Revoked is. Nil: none was.
	RevokedKey func(key string) bool

	// Observe is told how long each stage of each issuance took.
	Observe func(stage Stage, took time.Duration)
	// Logger hears of issuers. Nil is silence.
	Logger *slog.Logger
}

// IssuerStore keeps issuers, their keys sealed; ca/keystore is one.
type IssuerStore interface {
	// LoadIssuers returns all that can be read, and an error if there are others.
	LoadIssuers() ([]StoredIssuer, error)
	// SaveIssuer keeps an issuer under its serial, in the place of what was kept
	// there. After nil it is durable.
	SaveIssuer(StoredIssuer) error
	// DeleteIssuer forgets an issuer by its serial (lower-case hex); nil if there is none.
	DeleteIssuer(serial string) error
}

// StoredIssuer is an issuer as it is kept.
type StoredIssuer struct {
	// Key is nil of a [Remote].
	Key crypto.Signer
	// Chain begins with the issuer's own certificate, which is Key's; the root is not in
	// it, unless it is the issuer itself.
	Chain []*x509.Certificate
	// Introduced: it may sign SVIDs, see [Config].Introduce.
	Introduced bool
	// Imported: it is a CA from elsewhere that signs SVIDs itself, since it may certify
	// no issuer. It has no name constraint, is not replaced before its end, and may be
	// unable to sign CRLs (see [ErrNoCRL]).
	Imported bool
	// Remote: its key is elsewhere, see [Remote]. It is not replaced before its end, and
	// no CRL of it is signed here.
	Remote bool
}

// Serial of the issuer's own certificate, lower-case hex.
func (i StoredIssuer) Serial() string { return i.Chain[0].SerialNumber.Text(16) }

// parentSerial is the serial of the certificate that signed the issuer's: the next of
// its chain, or one of the roots; "" if it is none of them.
func (i StoredIssuer) parentSerial(roots []*x509.Certificate) string {
	for _, parent := range append(slices.Clone(i.Chain[1:]), roots...) {
		if i.Chain[0].CheckSignatureFrom(parent) == nil {
			return parent.SerialNumber.Text(16)
		}
	}
	return ""
}

// inMemory is an IssuerStore that keeps nothing.
type inMemory struct{}

func (inMemory) LoadIssuers() ([]StoredIssuer, error) { return nil, nil }
func (inMemory) SaveIssuer(StoredIssuer) error        { return nil }
func (inMemory) DeleteIssuer(string) error            { return nil }

// validated fills in what may be left out.
func (c Config) validated() (Config, error) {
	if err := checkTrustDomain(c.TrustDomain); err != nil {
		return Config{}, err
	}
	if c.Profile == (Profile{}) || c.Upstream == nil || c.Ledger == nil {
		return Config{}, errors.New("a CA needs a profile, an upstream and a ledger")
	}
	if c.Issuers == nil {
		c.Issuers = inMemory{}
		c.LiveIssuers = func(context.Context, time.Time) ([]Recorded, error) { return nil, nil }
	}
	if c.LiveIssuers == nil {
		return Config{}, errors.New("a CA that keeps its issuers needs to know which of them the ledger holds")
	}
	if c.Admit == nil {
		c.Admit = func(context.Context, identity.Caller) (func(), error) { return func() {}, nil }
	}
	if c.Revoked == nil {
		c.Revoked = func(string) bool { return false }
	}
	if c.RevokedKey == nil {
		c.RevokedKey = func(string) bool { return false }
	}
	if c.Observe == nil {
		c.Observe = func(Stage, time.Duration) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
