package daemon

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// TestVaultSignsEachLeaf, by the flags that people type: a pod gets its SVID, follows the
// root to Vault's next one, and gets no other while Vault is sealed, which status and
// health say; and no issuer's key is on disk.
func TestVaultSignsEachLeaf(t *testing.T) {
	v := vaultd.Start(t)
	v.Setup(t, "ROLE=svid")
	dir := t.TempDir()
	flags := []string{"--root", "vault", "--vault-addr", v.Address, "--vault-ca", v.CAFile, "--vault-issuer", "ensign-1", "--vault-sign", "leaves", "--vault-role", "svid"}
	for flag, policy := range map[string]string{"--vault-auth": "ensign-leaves", "--vault-rotation-auth": "ensign-rotation"} {
		file := filepath.Join(dir, policy)
		if err := os.WriteFile(file, []byte(v.NewToken(t, "1h", policy)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, flag, "token:"+file)
	}
	p := startProcess(t, dir, flags...)
	u := enroll(p, "web-1", true)
	dismiss := school(t, u)
	before := p.until("running", func(*ensignv1.Authority) bool { return true })
	if before.Issuer.Root != signing(before).Fingerprint || before.Upstream.IssuingUntil != nil || before.Issuer.Problem != "" {
		t.Errorf("%v, %v", before.Issuer, before.Upstream)
	}
	// It is the only one: revoked, it would shut out everybody who is to hear of another root.
	_, err := p.admin.CutOff(t.Context(), &ensignv1.CutOffRequest{Verb: "revoke", Kind: "issuer", Value: before.Issuer.Serial})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("revoking the only issuer: %v", err)
	}
	begun, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Window: durationpb.New(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	done := p.until("completed", func(a *ensignv1.Authority) bool {
		return a.Rotation.GetId() == begun.Authority.Rotation.Id && a.Rotation.Outcome == "completed"
	})
	if done.Bundle == before.Bundle || done.Issuer.Root != signing(done).Fingerprint || done.Issuer.Serial == before.Issuer.Serial {
		t.Errorf("%v", done)
	}
	if u.root() != u.trust.Root {
		t.Errorf("the pod lives on %s", u.root())
	}
	v.Seal(t)
	if err := u.get(t.Context()); err == nil {
		t.Error("an SVID of a sealed Vault")
	}
	p.until("running", func(a *ensignv1.Authority) bool { return a.Issuer.Problem != "" && a.Upstream.Problem != "" })
	if answer, err := http.Get("http://" + p.metrics + "/readyz"); err != nil || answer.Body.Close() != nil || answer.StatusCode == http.StatusOK {
		t.Errorf("it says that it is ready: %v", err)
	}
	v.Unseal(t)
	p.untilReady()
	if err := u.get(t.Context()); err != nil {
		t.Error(err)
	}
	dismiss()
	p.stop()
	p = startProcess(t, dir, flags...)
	if again := p.until("running", func(*ensignv1.Authority) bool { return true }); again.Issuer.Serial != done.Issuer.Serial {
		t.Errorf("another issuer after a restart: %v", again.Issuer)
	}
}
