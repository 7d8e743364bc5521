package xds

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

// TestWhoIsAdmitted is about proofs that are bound to a pod, and pods that come
// and go under one name.
func TestWhoIsAdmitted(t *testing.T) {
	pod := func(uid, sa string) map[mesh.Key]*mesh.Workload {
		return map[mesh.Key]*mesh.Workload{{Namespace: "shop", Name: "web-1"}: {UID: uid, Account: account("shop", sa)}}
	}
	for _, c := range []struct {
		name          string
		workloads     map[mesh.Key]*mesh.Workload
		boundTo, uid  string
		accountIsGone bool
		want          codes.Code
	}{
		{name: "bound to the pod that is", workloads: pod("u1", "web"), boundTo: "web-1", uid: "u1"},
		{name: "bound to an earlier pod of the name", workloads: pod("u2", "web"), boundTo: "web-1", uid: "u1", want: codes.PermissionDenied},
		{name: "bound to a pod that is gone", boundTo: "web-1", uid: "u1", want: codes.PermissionDenied},
		{name: "bound to another pod", workloads: pod("u1", "web"), boundTo: "web-2", uid: "u1", want: codes.PermissionDenied},
		{name: "bound to the account only", workloads: pod("u1", "web")},
		{name: "bound to the account, pod unknown"},
		{name: "a pod of another account", workloads: pod("u1", "db"), want: codes.PermissionDenied},
		{name: "no such account", workloads: pod("u1", "web"), accountIsGone: true, want: codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := &mesh.Snapshot{TrustDomain: trustDomain, Workloads: c.workloads, Accounts: map[mesh.Key]*mesh.Account{}}
			if !c.accountIsGone {
				snap.Accounts[mesh.Key{Namespace: "shop", Name: "web"}] = &mesh.Account{}
			}
			caller := identity.Caller{Account: account("shop", "web"), Pod: c.boundTo, PodUID: c.uid, Expires: time.Now().Add(time.Hour)}
			_, err := Admit(snap, caller, "sidecar~10.0.0.5~web-1.shop~cluster.local")
			if status.Code(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
