package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// TestTheRootMovesIntoVault, by the flags that people type, and to Vault's next root.
func TestTheRootMovesIntoVault(t *testing.T) {
	v := vaultd.Start(t)
	v.Setup(t)
	dir := t.TempDir()
	flags := []string{"--vault-addr", v.Address, "--vault-ca", v.CAFile}
	for flag, policy := range map[string]string{"--vault-auth": "ensign-daily", "--vault-rotation-auth": "ensign-rotation"} {
		file := filepath.Join(dir, policy)
		if err := os.WriteFile(file, []byte(v.NewToken(t, "1h", policy)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, flag, "token:"+file)
	}
	p := startProcess(t, dir, flags...)
	u := enroll(p, "web-1", true)
	dismiss := school(t, u)
	roots := map[string]bool{p.until("running", func(*ensignv1.Authority) bool { return true }).Bundle: true}
	for range 2 {
		begun, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Via: "vault", Window: durationpb.New(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		id := begun.Authority.Rotation.Id
		done := p.until("completed", func(a *ensignv1.Authority) bool { return a.Rotation.Id == id && a.Rotation.Outcome == "completed" })
		if s := signing(done); s.Place != "vault" || done.Upstream.Place != "vault" || done.Upstream.Problem != "" ||
			done.Upstream.CredentialExpiresAt == nil || done.Issuer.Root != s.Fingerprint || roots[done.Bundle] {
			t.Errorf("%v", done)
		}
		roots[done.Bundle] = true
	}
	dismiss()
	if u.root() != u.trust.Root {
		t.Errorf("the pod lives on %s", u.root())
	}
}
