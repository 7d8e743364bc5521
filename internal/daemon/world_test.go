package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

func TestOnlyPodsOfTheMeshReport(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	web := identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "web"}
	w := &world{}
	caller := identity.Caller{Account: web, Expires: time.Now().Add(time.Hour)}
	node := func(pod string) string { return "sidecar~10.0.0.5~" + pod + ".shop~cluster.local" }
	people := nodes{w, &census{ledger: &flock{}}}
	if _, err := people.Pod(t.Context(), caller, node("web-1")); err == nil {
		t.Error("a report was taken before the mesh was loaded")
	}
	w.snapshot.Store(&mesh.Snapshot{
		TrustDomain: td,
		Accounts:    map[mesh.Key]*mesh.Account{{Namespace: "shop", Name: "web"}: {}},
		Workloads: map[mesh.Key]*mesh.Workload{
			{Namespace: "shop", Name: "web-1"}:  {Account: web},
			{Namespace: "shop", Name: "till-1"}: {Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "till"}},
		},
	})
	for pod, want := range map[string]codes.Code{"web-1": codes.OK, "till-1": codes.PermissionDenied, "ghost": codes.Unavailable} {
		if _, err := people.Pod(t.Context(), caller, node(pod)); status.Code(err) != want {
			t.Errorf("%s: %v, want %v", pod, err, want)
		}
	}
}

func TestAFolderThatOthersMayWriteToIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := claimFolder(dir); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("made with mode %v", info.Mode())
	}
	for mode, refused := range map[os.FileMode]bool{0o700: false, 0o750: false, 0o755: false, 0o770: true, 0o777: true} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		err := claimFolder(dir)
		if refused != (err != nil) || (err != nil && !strings.Contains(err.Error(), "chmod go-w")) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}
