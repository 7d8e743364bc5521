package report

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Report is the newest word of one pod's agent.
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
	// ServedFingerprints are the leaves that Envoy's own /certs shows.
	ServedFingerprints []string `json:"served_fingerprints"`
	EnvoyVersion       string   `json:"envoy_version"`
	// AgentClock is the agent's time when it wrote the report, ReceivedAt ours.
	AgentClock  time.Time `json:"agent_clock"`
	SecretError string    `json:"secret_error"`
	ReceivedAt  time.Time `json:"received_at"`
}

// Limits of a report: it comes from a workload's node.
const (
	maxText         = 1 << 10
	maxHex          = 64
	maxFingerprints = 64
)

// ErrInvalid means that a report is not one.
var ErrInvalid = errors.New("report is not valid")

// check refuses what no agent writes.
func (r Report) check() error {
	if r.Namespace == "" || r.Pod == "" || r.SPIFFEID == "" {
		return fmt.Errorf("%w: it names no pod or no identity", ErrInvalid)
	}
	for name, text := range map[string]string{
		"spiffe_id": r.SPIFFEID, "namespace": r.Namespace, "pod": r.Pod, "node_id": r.NodeID,
		"envoy_version": r.EnvoyVersion, "secret_error": r.SecretError,
	} {
		if len(text) > maxText {
			return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrInvalid, name, len(text), maxText)
		}
	}
	if len(r.ServedFingerprints) > maxFingerprints {
		return fmt.Errorf("%w: %d fingerprints, at most %d", ErrInvalid, len(r.ServedFingerprints), maxFingerprints)
	}
	for _, text := range append([]string{r.AckedSerial, r.AckedFingerprint, r.AckedBundle}, r.ServedFingerprints...) {
		if len(text) > maxHex || strings.Trim(text, "0123456789abcdef") != "" {
			return fmt.Errorf("%w: %.70q is not lower-case hex of at most %d digits", ErrInvalid, text, maxHex)
		}
	}
	return nil
}
