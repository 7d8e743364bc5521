//go:build cgo

package daemon

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/test/lab/softhsm"
)

// TestAModuleThatHangsHoldsUpNobody: SVIDs are issued from the live issuer, people are
// answered and told why the next root is not made, somebody goes back, and ensignd ends
// when it is told to, all while every call into the root's module stands still.
func TestAModuleThatHangsHoldsUpNobody(t *testing.T) {
	hsm, dir := softhsm.NewHanging(t), t.TempDir()
	p := startProcess(t, dir, "--root-key", hsm.URI(hsm.PINFile))
	u := enroll(p, "web-1", true)
	hsm.Hang(t)
	t.Cleanup(func() {
		hsm.Answer(t)
		nobodyInTheModule(t)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := p.admin.RotateRoot(ctx, &ensignv1.RotateRootRequest{Window: durationpb.New(time.Second)}); err != nil {
		t.Fatal(err)
	}
	hung := p.until("said that it hangs", func(a *ensignv1.Authority) bool {
		return strings.Contains(signing(a).Problem, "it hangs") && strings.Contains(a.Rotation.GetProblem(), "it hangs")
	})
	if r := signing(hung); r.ProblemSince == nil || hung.Upstream.Problem != r.Problem || hung.Upstream.ProblemSince == nil || hung.Issuer.Problem != "" {
		t.Errorf("%v, %v", r, hung.Upstream)
	}
	if !inTheModule() {
		t.Error("nobody is in the module, as far as this test sees")
	}
	began := time.Now()
	if err := u.get(ctx); err != nil {
		t.Errorf("nothing is issued: %v", err)
	}
	back, err := p.admin.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: "rollback", Reason: "the module hangs"})
	if err != nil || back.Authority.Rotation.Outcome != "rolled-back" {
		t.Errorf("no way back: %v, %v", back, err)
	}
	if _, err := p.admin.GetAuthority(ctx, &ensignv1.GetAuthorityRequest{}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("people and pods waited %s", took)
	}
	ended := make(chan struct{})
	go func() { p.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(40 * time.Second):
		t.Fatal("ensignd does not end")
	}
}

// nobodyInTheModule waits until the call that was left behind has ended: it yet writes what
// it made into the data folder, which goes with the test.
func nobodyInTheModule(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); inTheModule(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a call into the module does not end")
		}
	}
}

// inTheModule says whether a goroutine is in a call into a place of keys.
func inTheModule() bool {
	stacks := make([]byte, 4<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("keystore/kms.enter["))
}
