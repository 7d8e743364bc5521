package agent

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
)

// look is what Envoy's admin port showed.
type look struct {
	version string
	served  []string
}

// compose is a report of this moment. What cannot be read from Envoy is left out:
// the control plane must take silence for doubt.
func (r *reporter) compose(acknowledged sds.Acknowledged, problems sds.Problems, obedience *ensignv1.Obedience, ledger *ensignv1.LedgerSeen) *ensignv1.Report {
	r.sequence++
	report := &ensignv1.Report{
		Sequence: r.sequence, NodeId: r.nodeID, SecretError: acknowledged.Error, Obedience: obedience, Ledger: ledger,
		EnvoyVersion: r.seen.version, ServedFingerprints: r.seen.served, Clock: timestamppb.Now(),
		RenewalError: problems.Renewal, TrustError: problems.Trust,
		TrustSequence: acknowledged.TrustSequence,
	}
	if acknowledged.Serial != "" || acknowledged.Bundle != "" {
		report.Acknowledged = &ensignv1.SecretState{
			Serial: acknowledged.Serial, Fingerprint: acknowledged.Fingerprint, Bundle: acknowledged.Bundle,
			AcknowledgedAt: timestamppb.New(acknowledged.At),
		}
	}
	return report
}

func (r *reporter) look(ctx context.Context) (version string, served []string) {
	version, err := r.admin.version(ctx)
	if err != nil {
		r.logger.WarnContext(ctx, "envoy's version unknown", "error", err)
		return "", nil
	}
	serials, err := r.admin.serials(ctx)
	if err != nil {
		r.logger.WarnContext(ctx, "envoy's certificates unknown", "error", err)
		return version, nil
	}
	return version, r.fingerprints(serials)
}

// fingerprints turns the serials that Envoy shows into fingerprints. Envoy shows
// no more than the serial; it names a certificate of ours for certain, since
// serials are 128 random bits. One that is not ours, of an earlier agent or of a
// gateway, is reported as "serial:HEX": shown, and equal to no fingerprint.
func (r *reporter) fingerprints(serials []string) []string {
	var served []string
	for _, serial := range serials {
		print := r.fingerprintOf(serial)
		if print == "" {
			print = "serial:" + serial
		}
		served = append(served, print)
	}
	slices.Sort(served)
	return served
}

// shows says whether Envoy shows what it acknowledged, and nothing else.
func shows(report *ensignv1.Report, acknowledged sds.Acknowledged) bool {
	return acknowledged.Fingerprint != "" && slices.Equal(report.ServedFingerprints, []string{acknowledged.Fingerprint})
}
