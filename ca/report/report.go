package report

import (
	"errors"
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
	// PodUID tells the pod from an earlier one of the same name.
	PodUID string `json:"pod_uid,omitempty"`
	// Bound: its proof was bound to this very pod; else any pod of the account may have said it.
	Bound  bool   `json:"bound,omitempty"`
	NodeID string `json:"node_id"`
	// Sequence counts up in one agent process.
	Sequence uint64 `json:"sequence"`
	// What Envoy acknowledged over SDS; empty before its first acknowledgement.
	// Serial, fingerprint and bundle are lower-case hex.
	AckedSerial      string    `json:"acked_serial"`
	AckedFingerprint string    `json:"acked_fingerprint"`
	AckedBundle      string    `json:"acked_bundle"`
	AckedAt          time.Time `json:"acked_at"`
	// TrustSequence is that of the roots that AckedBundle is, as the control plane told
	// them; 0 before it told any, and of an agent that does not say.
	TrustSequence uint64 `json:"trust_sequence,omitempty"`
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
	// RenewalError is why the last attempt to get an SVID failed, TrustError why the
	// newest roots were not taken over; "" if they did not.
	RenewalError string `json:"renewal_error,omitempty"`
	TrustError   string `json:"trust_error,omitempty"`
}

// Limits of a report: it comes from a workload's node.
const (
	maxText         = 1 << 10
	maxHex          = 64 // a SHA-256
	maxFingerprints = 64
	hexDigits       = "0123456789abcdef"
)

// trim cuts the free texts, which are Envoy's or of errors and may be of any length.
func (r Report) trim() Report {
	r.SecretError, r.RenewalError, r.TrustError = cut(r.SecretError), cut(r.RenewalError), cut(r.TrustError)
	if r.Obedience != nil {
		obedience := *r.Obedience
		obedience.Error = cut(obedience.Error)
		r.Obedience = &obedience
	}
	if r.Ledger != nil {
		seen := *r.Ledger
		seen.Fork = cut(seen.Fork)
		r.Ledger = &seen
	}
	return r
}

func cut(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// unknownSerial begins what stands for a leaf that the agent did not get itself.
const unknownSerial = "serial:"

// check refuses what no agent writes.
func (r Report) check() error {
	if r.Namespace == "" || r.Pod == "" || r.SPIFFEID == "" {
		return fmt.Errorf("%w: it names no pod or no identity", ErrInvalid)
	}
	for name, text := range map[string]string{
		"spiffe_id": r.SPIFFEID, "namespace": r.Namespace, "pod": r.Pod, "pod_uid": r.PodUID, "node_id": r.NodeID,
		"envoy_version": r.EnvoyVersion, "secret_error": r.SecretError,
		"renewal_error": r.RenewalError, "trust_error": r.TrustError,
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
		if len(text) > maxHex || strings.Trim(text, hexDigits) != "" {
			return fmt.Errorf("%w: %.70q is not lower-case hex of at most %d digits", ErrInvalid, text, maxHex)
		}
	}
	for name, at := range map[string]time.Time{"acked_at": r.AckedAt, "agent_clock": r.AgentClock, "received_at": r.ReceivedAt} {
		if year := at.Year(); year < 1 || year > 9999 {
			return fmt.Errorf("%w: %s is in the year %d", ErrInvalid, name, year)
		}
	}
	return errors.Join(r.Obedience.check(), r.Ledger.check())
}
