package agents

import (
	"encoding/hex"
	"time"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// reportOf is a report as it is stored; the store checks its texts.
func reportOf(r *ensignv1.Report, caller identity.Caller, pod Pod) report.Report {
	stored := report.Report{
		SPIFFEID:           caller.Account.String(),
		Namespace:          pod.Namespace,
		Pod:                pod.Name,
		PodUID:             pod.UID,
		Bound:              caller.Pod != "",
		NodeID:             r.NodeId,
		Sequence:           r.Sequence,
		ServedFingerprints: r.ServedFingerprints,
		EnvoyVersion:       r.EnvoyVersion,
		AgentClock:         r.Clock.AsTime(),
		SecretError:        r.SecretError,
		RenewalError:       r.RenewalError,
		TrustError:         r.TrustError,
		TrustSequence:      r.TrustSequence,
		ReceivedAt:         time.Now(),
		Obedience:          obedienceOf(r.Obedience),
	}
	if acked := r.Acknowledged; acked != nil {
		stored.AckedSerial = acked.Serial
		stored.AckedFingerprint = acked.Fingerprint
		stored.AckedBundle = acked.Bundle
		stored.AckedAt = acked.AcknowledgedAt.AsTime()
	}
	if seen := r.Ledger; seen != nil {
		stored.Ledger = &report.LedgerSeen{Size: seen.Size, Root: hex.EncodeToString(seen.Root), Fork: seen.Fork}
	}
	return stored
}

// methods are the ways to end a connection, as they are stored and shown.
var methods = map[ensignv1.CutMethod]string{
	ensignv1.CutMethod_CUT_METHOD_PIDFD:        "pidfd",
	ensignv1.CutMethod_CUT_METHOD_SOCK_DESTROY: "sock_destroy",
	ensignv1.CutMethod_CUT_METHOD_DRAIN:        "drain",
	ensignv1.CutMethod_CUT_METHOD_NONE:         "none",
}

func obedienceOf(o *ensignv1.Obedience) *report.Obedience {
	if o == nil {
		return nil
	}
	return &report.Obedience{
		Revision: o.Revision, CRLRevision: o.CrlRevision, Method: methods[o.Method],
		Open: o.Open, Cut: o.Cut, Error: o.Error,
	}
}

func sightingsOf(met []*ensignv1.Sighting, pod Pod) []report.Sighting {
	list := make([]report.Sighting, 0, len(met))
	for _, m := range met {
		list = append(list, report.Sighting{
			Namespace: pod.Namespace, Pod: pod.Name,
			Fingerprint: m.GetFingerprint(), Serial: m.GetSerial(), SPIFFEID: m.GetSpiffeId(), IssuerSubject: m.GetIssuerSubject(),
			NotBefore: m.GetNotBefore().AsTime(), NotAfter: m.GetNotAfter().AsTime(), SeenAt: m.GetSeenAt().AsTime(),
			Inbound: m.GetInbound(),
		})
	}
	return list
}
