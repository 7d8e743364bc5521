package daemon

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

var errNotReady = errors.New("the mesh is not loaded yet")

// world is the newest picture of the mesh, for all who ask who exists. One
// goroutine stores; any number load.
type world struct {
	snapshot atomic.Pointer[mesh.Snapshot]
}

// Snapshot is the newest picture; nil before the first.
func (w *world) Snapshot() *mesh.Snapshot { return w.snapshot.Load() }

// Account implements identity.Directory.
func (w *world) Account(namespace, name string) (uid string, exists bool) {
	s := w.snapshot.Load()
	if s == nil {
		return "", false
	}
	account, ok := s.Accounts[mesh.Key{Namespace: namespace, Name: name}]
	if !ok {
		return "", false
	}
	return account.UID, true
}

// Pod implements identity.Directory.
func (w *world) Pod(namespace, name string) (identity.Pod, bool) {
	s := w.snapshot.Load()
	if s == nil {
		return identity.Pod{}, false
	}
	workload, ok := s.Workloads[mesh.Key{Namespace: namespace, Name: name}]
	if !ok {
		return identity.Pod{}, false
	}
	return identity.Pod{UID: workload.UID, Account: workload.Account.Name, Node: workload.Node}, true
}

// nodes tells an agent's pod from its node ID, by the rules of the xDS server, and
// more strictly: reports are evidence and take room, so a pod that the mesh does
// not know (yet) has none. One that holds an SVID of its own speaks for itself, in
// reports and in what it acknowledges of its configuration.
type nodes struct {
	world  *world
	census *census
}

// Pod implements agents.Nodes.
func (n nodes) Pod(ctx context.Context, caller identity.Caller, nodeID string) (agents.Pod, error) {
	snapshot := n.world.Snapshot()
	if snapshot == nil {
		return agents.Pod{}, errNotReady
	}
	key, err := xds.Admit(snapshot, caller, nodeID)
	if err != nil {
		return agents.Pod{}, err
	}
	workload := snapshot.Workloads[key]
	if workload == nil {
		return agents.Pod{}, status.Errorf(codes.Unavailable, "pod %s is not in the mesh yet; report again when it is", key)
	}
	if caller.Pod == "" {
		if err := n.free(ctx, key, workload); err != nil {
			return agents.Pod{}, err
		}
	}
	return agents.Pod{Namespace: key.Namespace, Name: key.Name, UID: workload.UID}, nil
}

// free is nil if any pod of the account may speak for this one.
func (n nodes) free(ctx context.Context, key mesh.Key, w *mesh.Workload) error {
	holds, err := n.census.bound(ctx, bearer{pod: podName{key.Namespace, key.Name}, uid: w.UID, id: w.Account.String()})
	if err != nil {
		return status.Errorf(codes.Unavailable, "whether pod %s holds SVIDs of its own is not known now (%v); try again", key, err)
	}
	if holds {
		return status.Errorf(codes.PermissionDenied, "pod %s: its certificates are bound to the pod, and this proof is not: use a pod-bound token, "+
			"as kubelet's projected ones are (`ensign token create --pod`), and restart its agent", key)
	}
	return nil
}
