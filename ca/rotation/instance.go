package rotation

import "time"

// Instance is one workload that holds live SVIDs: one pod, or one chain of SVIDs that
// no pod is bound to.
type Instance struct {
	// Name is NAMESPACE/POD, or SPIFFE-ID#SERIAL where no pod is known.
	Name     string
	SPIFFEID string
	// SVIDs are those that are neither expired nor revoked, oldest first; at least one.
	SVIDs []SVID

	// Report is the newest word of its agent; nil if there is none of this very
	// instance (an earlier pod of the same name does not speak for it).
	Report *Report
	// Connected: its agent's stream is open now.
	Connected bool
	// Gone: the mesh has no such pod any more, and no agent of it is connected.
	Gone bool
	// Doubt is why nobody knows whether it is gone, and what to do; "" if that is known.
	// Then it is waited for.
	Doubt string
}

// SVID is one live certificate of an instance.
type SVID struct {
	// Serial is lower-case hex, Index that of its entry in the ledger.
	Serial string
	Index  uint64
	// Root is the fingerprint of the root that it leads to; "" if that is unknown.
	Root     string
	IssuedAt time.Time
	NotAfter time.Time
}

// Report is what an agent's durable report says that a gate asks.
type Report struct {
	// What Envoy has acknowledged: the SVID's serial, and the hash of the bundle.
	AckedSerial string
	AckedBundle string
	// TrustSequence is that of the [Trust] whose Bundle it acknowledged; 0: of none.
	TrustSequence uint64
	ReceivedAt    time.Time
	// Skew is how far the agent's clock is ahead of ours; negative: behind.
	Skew time.Duration
	// Problem is why it could not follow, as it says itself; "" if it could.
	Problem string
}
