package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is the newest word of one pod's agent. Texts have at most 1 KiB.
type Report struct {
	SPIFFEID  string `json:"spiffe_id"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	NodeID    string `json:"node_id"`
	// Sequence counts up in one agent process.
	Sequence uint64 `json:"sequence"`
	// What Envoy acknowledged over SDS; empty before its first acknowledgement.
	// Serial, fingerprint and bundle are lower-case hex.
	AckedSerial      string    `json:"acked_serial"`
	AckedFingerprint string    `json:"acked_fingerprint"`
	AckedBundle      string    `json:"acked_bundle"`
	AckedAt          time.Time `json:"acked_at"`
	// ServedFingerprints are the leaves that Envoy's own /certs shows: SHA-256 of
	// those that the agent knows, "serial:HEX" of any other.
	ServedFingerprints []string `json:"served_fingerprints"`
	EnvoyVersion       string   `json:"envoy_version"`
	// AgentClock is the agent's time when it wrote the report, ReceivedAt ours.
	AgentClock time.Time `json:"agent_clock"`
	// SecretError is why Envoy refused its last secret, cut to 1 KiB; "" if it did not.
	SecretError string    `json:"secret_error"`
	ReceivedAt  time.Time `json:"received_at"`
	// Obedience is nil for an agent that has never been told what is cut off.
	Obedience *Obedience `json:"obedience,omitempty"`
	// Ledger is nil for an agent that has not seen a checkpoint yet.
	Ledger *LedgerSeen `json:"ledger,omitempty"`
}

// Obedience is how far an agent and its Envoy follow what is cut off.
type Obedience struct {
	// Revision is that of the list that live connections were held against;
	// CRLRevision that of the CRLs that Envoy acknowledged.
	Revision    uint64 `json:"revision"`
	CRLRevision uint64 `json:"crl_revision"`
	// Method is how connections are ended here: "pidfd", "sock_destroy", "drain" or "none".
	Method string `json:"method"`
	// Open connections that are to end and have not yet; Cut have ended.
	Open uint32 `json:"open"`
	Cut  uint64 `json:"cut"`
	// Error is why something could not be done, cut to 1 KiB.
	Error string `json:"error,omitempty"`
}

// LedgerSeen is the newest checkpoint that an agent proved to grow from its last.
type LedgerSeen struct {
	Size uint64 `json:"size"`
	// Root is lower-case hex.
	Root string `json:"root"`
	// Fork holds a signed checkpoint that contradicts this one; "" if there was none.
	Fork string `json:"fork,omitempty"`
}

// Sighting is a peer whose certificate an Envoy met.
type Sighting struct {
	// Namespace and Pod of the Envoy that met it.
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Fingerprint (SHA-256) and Serial are lower-case hex, "" where Envoy does not tell them.
	Fingerprint   string    `json:"fingerprint,omitempty"`
	Serial        string    `json:"serial,omitempty"`
	SPIFFEID      string    `json:"spiffe_id"`
	IssuerSubject string    `json:"issuer_subject"`
	NotBefore     time.Time `json:"not_before"`
	NotAfter      time.Time `json:"not_after"`
	SeenAt        time.Time `json:"seen_at"`
	// Inbound: the peer was a client; else it was a server.
	Inbound bool `json:"inbound"`
}

// Limits of a report: it comes from a workload's node.
const (
	maxText         = 1 << 10
	maxHex          = 64 // a SHA-256
	maxFingerprints = 64
)

// trim cuts the one free text, which is Envoy's and may be of any length.
func (r Report) trim() Report {
	if len(r.SecretError) > maxText {
		r.SecretError = strings.ToValidUTF8(r.SecretError[:maxText], "")
	}
	return r
}

// unknownSerial begins what stands for a leaf that the agent did not get itself.
const unknownSerial = "serial:"

// check refuses what no agent writes.
func (r Report) check() error {
	if r.Namespace == "" || r.Pod == "" || r.SPIFFEID == "" {
		return fmt.Errorf("%w: it names no pod or no identity", ErrInvalid)
	}
	for name, text := range map[string]string{
		"spiffe_id": r.SPIFFEID, "namespace": r.Namespace, "pod": r.Pod, "node_id": r.NodeID,
		"envoy_version": r.EnvoyVersion, "secret_error": r.SecretError,
	} {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("%w: %s must be text of at most %d bytes, it has %d", ErrInvalid, name, maxText, len(text))
		}
	}
	if len(r.ServedFingerprints) > maxFingerprints {
		return fmt.Errorf("%w: %d fingerprints, at most %d", ErrInvalid, len(r.ServedFingerprints), maxFingerprints)
	}
	hexes := []string{r.AckedSerial, r.AckedFingerprint, r.AckedBundle}
	for _, served := range r.ServedFingerprints {
		hexes = append(hexes, strings.TrimPrefix(served, unknownSerial))
	}
	for _, text := range hexes {
		if len(text) > maxHex || strings.Trim(text, "0123456789abcdef") != "" {
			return fmt.Errorf("%w: %.70q is not lower-case hex of at most %d digits", ErrInvalid, text, maxHex)
		}
	}
	for name, at := range map[string]time.Time{"acked_at": r.AckedAt, "agent_clock": r.AgentClock, "received_at": r.ReceivedAt} {
		if year := at.Year(); year < 1 || year > 9999 {
			return fmt.Errorf("%w: %s is in the year %d", ErrInvalid, name, year)
		}
	}
	return nil
}
