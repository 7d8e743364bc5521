package ca

import (
	"context"
	"encoding/json"
	"time"
)

// Ledger is the append-only record of everything that was issued.
type Ledger interface {
	// Append records the entry and returns its index once it is durable: after
	// a nil error the entry survives a crash and a power cut. Safe for
	// concurrent use; concurrent appends may share one commit.
	Append(ctx context.Context, e Entry) (index uint64, err error)
}

// EntryKind says what a ledger entry records.
type EntryKind string

// The kinds of ledger entries.
const (
	KindSVID   EntryKind = "svid"   // a workload certificate
	KindServer EntryKind = "server" // a TLS certificate of the control plane itself
	KindIssuer EntryKind = "issuer" // an intermediate that signs SVIDs
	KindRoot   EntryKind = "root"   // a trust anchor
	KindAdmin  EntryKind = "admin"  // an administrative act of a person
	// KindRevocation: somebody was cut off, or let back in. Actor did Verb ("revoke",
	// "quarantine", "release") to Object ("serial:HEX", "id:SPIFFE-ID", "pod:NS/NAME",
	// "serviceaccount:NS/NAME", "issuer:HEX"), for the reason in Detail.
	KindRevocation EntryKind = "revocation"
	// KindRotation: a step of the rotation of the root. Actor did Verb to Object ("root"
	// or "rotation:ID"); Detail is JSON. See ca/rotation.
	KindRotation EntryKind = "rotation"
)

// Entry is one record of the ledger. Its JSON form is what is hashed into the
// tree: field order is fixed, empty fields are left out, times are RFC 3339 in
// UTC, cut to the second. A field is never renamed and never moved; a new one goes to the end.
type Entry struct {
	Kind EntryKind `json:"kind"`
	// Time is when the entry was made.
	Time time.Time `json:"time,omitzero"`

	// Certificate is the SHA-256 of the DER, Key that of the DER of its
	// SubjectPublicKeyInfo; both lower-case hex. Serial is lower-case hex.
	Certificate string `json:"certificate,omitempty"`
	Serial      string `json:"serial,omitempty"`
	SPIFFEID    string `json:"spiffe_id,omitempty"`
	Key         string `json:"key,omitempty"`
	// Subject is the certificate's own name (RFC 4514); SVIDs have none.
	Subject string `json:"subject,omitempty"`
	// IssuerSubject and IssuerSerial name the certificate that signed this one.
	IssuerSubject string    `json:"issuer_subject,omitempty"`
	IssuerSerial  string    `json:"issuer_serial,omitempty"`
	NotBefore     time.Time `json:"not_before,omitzero"`
	NotAfter      time.Time `json:"not_after,omitzero"`

	// Proof is how the caller of an SVID showed who it is ("token" or "svid"),
	// TokenID (jti) or ProofSerial (lower-case hex) which proof it was.
	Proof       string `json:"proof,omitempty"`
	TokenID     string `json:"token_id,omitempty"`
	ProofSerial string `json:"proof_serial,omitempty"`
	// Pod, PodUID and Node are what the proof was bound to; empty if to an account only.
	Pod    string `json:"pod,omitempty"`
	PodUID string `json:"pod_uid,omitempty"`
	Node   string `json:"node,omitempty"`
	// Requester is the network address that the request came from.
	Requester string `json:"requester,omitempty"`

	// Actor did Verb to Object: set for admin acts only, e.g. "uid:0" "create"
	// "token shop/reviews". Detail is free text without secrets.
	Actor  string `json:"actor,omitempty"`
	Verb   string `json:"verb,omitempty"`
	Object string `json:"object,omitempty"`
	Detail string `json:"detail,omitempty"`

	// Names are the DNS names and IP addresses of a server certificate, separated by commas.
	Names string `json:"names,omitempty"`

	// AccountUID tells the account of an SVID from another one of the same name.
	AccountUID string `json:"account_uid,omitempty"`
	// TokenAt is when the chain of renewals that an SVID belongs to was last proven
	// by a token: Time itself if this one was.
	TokenAt time.Time `json:"token_at,omitzero"`
	// KeyAlgorithm of an SVID's key, e.g. "ECDSA P-256" or "RSA 2048".
	KeyAlgorithm string `json:"key_algorithm,omitempty"`
}

// Recorded is an entry and its index in the ledger.
type Recorded struct {
	Index uint64
	Entry Entry
}

// entryFields has Entry's fields and none of its methods.
type entryFields Entry

// MarshalJSON writes the one deterministic form of the entry.
func (e Entry) MarshalJSON() ([]byte, error) {
	e.Time = canonicalTime(e.Time)
	e.NotBefore = canonicalTime(e.NotBefore)
	e.NotAfter = canonicalTime(e.NotAfter)
	e.TokenAt = canonicalTime(e.TokenAt)
	return json.Marshal(entryFields(e))
}

// canonicalTime gives equal instants equal text.
func canonicalTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}
