package xds

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

// Admit decides whether the caller may speak for the pod that a node ID names,
// by the rules of this package's streams but for [Config].Free, and answers the pod. A pod that the
// mesh does not know is answered too: it is in the caller's own namespace. The
// error is a gRPC status: InvalidArgument for a node ID that is none,
// Unauthenticated for a proof that ended, PermissionDenied else.
func Admit(snap *mesh.Snapshot, caller identity.Caller, nodeID string) (mesh.Key, error) {
	n, err := parseNode(nodeID)
	if err != nil {
		return mesh.Key{}, refuse(codes.InvalidArgument, "node", "%v", err)
	}
	if _, err := admit(snap, caller, n, time.Now()); err != nil {
		return mesh.Key{}, err
	}
	return n.pod, nil
}

// admit is the rule of this server's streams: [admit], and Config.Free.
func (s *Server) admit(snap *mesh.Snapshot, caller identity.Caller, n node, now time.Time) (*mesh.Workload, error) {
	w, err := admit(snap, caller, n, now)
	if err != nil || w == nil || caller.Pod != "" || s.config.Free == nil {
		return w, err
	}
	if err := s.config.Free(n.pod, w); err != nil {
		return nil, refuse(status.Code(err), "not_bound", "%s", status.Convert(err).Message())
	}
	return w, nil
}

// admit decides whether the caller may have the configuration of the node's
// pod, by the newest snapshot, and answers the pod's workload; nil for a pod that
// the mesh does not know (yet), which gets its namespace's outbound view only.
// It is asked on every message and after every change.
func admit(snap *mesh.Snapshot, caller identity.Caller, n node, now time.Time) (*mesh.Workload, error) {
	account := caller.Account
	switch {
	case !caller.Expires.IsZero() && !now.Before(caller.Expires):
		return nil, refuse(codes.Unauthenticated, "proof_expired", "the proof of %s ended at %s; reconnect with a fresh one", account, caller.Expires.Format(time.RFC3339))
	case account.TrustDomain != snap.TrustDomain:
		return nil, refuse(codes.PermissionDenied, "trust_domain", "%s is not of this mesh's trust domain %s", account, snap.TrustDomain)
	case n.pod.Namespace != account.Namespace:
		return nil, refuse(codes.PermissionDenied, "namespace", "node.id names pod %s; the stream is proven for %s, of another namespace", n.pod, account)
	case caller.Pod != "" && caller.Pod != n.pod.Name:
		return nil, refuse(codes.PermissionDenied, "pod", "node.id names pod %s; the stream's proof is bound to pod %s/%s", n.pod, account.Namespace, caller.Pod)
	case snap.Accounts[mesh.Key{Namespace: account.Namespace, Name: account.Name}] == nil:
		return nil, refuse(codes.PermissionDenied, "account", "service account %s/%s does not exist; create it, or reconnect as the account of pod %s", account.Namespace, account.Name, n.pod)
	}
	w := snap.Workloads[n.pod]
	// A proof that is bound to a pod ends with it: another pod of the same name
	// has another UID.
	if caller.Pod != "" && (w == nil || w.UID != caller.PodUID) {
		return nil, refuse(codes.PermissionDenied, "pod_gone", "pod %s, which the stream's proof is bound to, does not exist any more; reconnect with a proof of the pod that does", n.pod)
	}
	if w != nil && w.Account != account {
		return nil, refuse(codes.PermissionDenied, "identity", "pod %s runs as %s; the stream is proven for %s", n.pod, w.Account, account)
	}
	return w, nil
}
