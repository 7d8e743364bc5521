package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

var rotateChapters = []chapter{
	{"The root is Ensign's own, and every Envoy trusts it alone", builtinRoot},
	{"What a new root in Vault would mean, before anything is done", plannedRotation},
	{"From Ensign into Vault, key and all, under load", intoVault},
	{"To Vault's next root", nextRoot},
	{"And back to the one before", rolledBack},
	{"Vault is sealed: certificates are issued all the same, and it is said until when", sealedVault},
	{"All of it is in the record, which verifies", rotationsRecorded},
}

// slice is how fine the loads are laid beside the steps.
const slice = time.Second

// builtinRoot: there is one root, and nothing else in any Envoy.
func builtinRoot(ctx context.Context, s *scene) (string, error) {
	if r := s.ensign(ctx, "ca", "status"); r.Code != 0 {
		return "", errors.New("nobody says where the root lives")
	}
	now, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	if place := now.Signing().Place; place != "builtin" {
		return "", fmt.Errorf("the root lives in %s", place)
	}
	serial, err := s.onlyRoot(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d Envoys trust the root of serial %s, and no other", len(s.Sidecars()), serial), nil
}

func plannedRotation(ctx context.Context, s *scene) (string, error) {
	before, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	if r := s.ensign(ctx, "ca", "rotate", "root", "--via", "vault", "--window", window, "--plan"); r.Code != 0 {
		return "", errors.New("it could not be begun")
	}
	now, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	if now.Rotation != nil || now.Bundle != before.Bundle {
		return "", errors.New("a plan did something")
	}
	return "the plan names the steps and who would keep them waiting; nothing was done", nil
}

// window is short, for people who watch.
const window = "10s"

func intoVault(ctx context.Context, s *scene) (string, error) {
	return s.moved(ctx, "vault", "ca", "rotate", "root", "--via", "vault", "--window", window, "--reason", "noon", "--wait=2m")
}

func nextRoot(ctx context.Context, s *scene) (string, error) {
	return s.moved(ctx, "vault", "ca", "rotate", "root", "--window", window, "--reason", "routine", "--wait=2m")
}

func rolledBack(ctx context.Context, s *scene) (string, error) {
	all, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	before := all.Rotation.From
	reason, err := s.moved(ctx, before.Place, "ca", "rollback", "--reason", "second-thoughts", "--wait=2m")
	if err != nil {
		return "", err
	}
	now, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	if now.Signing().Fingerprint != before.Fingerprint {
		return "", fmt.Errorf("%s/%s signs, not %s/%s", now.Signing().Place, now.Signing().Name, before.Place, before.Name)
	}
	return reason, nil
}

// moved runs a command that replaces the root, with 200 requests a second through
// every sidecar, and wants nobody to have noticed.
func (s *scene) moved(ctx context.Context, place string, args ...string) (string, error) {
	before, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	old, err := s.onlyRoot(ctx)
	if err != nil {
		return "", err
	}
	zero, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	loads, stop := s.noon(ctx)
	defer stop()
	time.Sleep(slice)
	course, err := s.follow(ctx, before, args)
	time.Sleep(slice)
	stop()
	fresh, kept := <-loads, <-loads
	if err := errors.Join(err, fresh.err, kept.err); err != nil {
		return "", err
	}
	s.note("the steps, and what all Envoys counted in each", course.String())
	s.note("requests meanwhile, on fresh connections and on kept ones, without retries",
		course.Beside(slice, fresh.report, kept.report)+"\n"+fresh.report.String()+"\n"+kept.report.String())
	after, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	delta := after.Since(zero)
	s.note("what every Envoy counted from the first to the last of them", delta.String())
	serial, err := s.onlyRoot(ctx)
	if err != nil {
		return "", err
	}
	sent, failed := fresh.report.Sent+kept.report.Sent, fresh.report.Failed+kept.report.Failed
	switch faults := delta.Faults(); {
	case failed > 0 || len(faults) > 0:
		return "", fmt.Errorf("it was noticed: %d of %d requests failed, %v", failed, sent, faults)
	case serial == old:
		return "", errors.New("the Envoys trust the root that they did before")
	case course.Ended.Signing().Place != place:
		return "", fmt.Errorf("the root lives in %s, not in %s", course.Ended.Signing().Place, place)
	}
	return fmt.Sprintf("%s/%s signs, after %.1f s: 0 of %d requests failed, and no Envoy counted a fault in %d handshakes",
		place, course.Ended.Signing().Name, course.Took().Seconds(), sent, delta.Handshakes()), nil
}

// noon is what goes on all the while; stop may be called twice.
func (s *scene) noon(ctx context.Context) (loads <-chan outcome, stop func()) {
	running, stop := context.WithCancel(ctx)
	reports := make(chan outcome, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := s.Pod("reader").Load(running, load.Plan{URL: lab.BookURL, Fresh: fresh, Workers: 8, Rate: 100, For: 5 * time.Minute, Slice: slice})
			reports <- outcome{r, err}
		}()
	}
	return reports, stop
}

// follow shows a command's progress and answers what the lab saw of it.
func (s *scene) follow(ctx context.Context, before lab.Authority, args []string) (lab.Course, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	type seen struct {
		course lab.Course
		err    error
	}
	done := make(chan seen, 1)
	last := ""
	if before.Rotation != nil {
		last = before.Rotation.ID
	}
	go func() {
		course, err := s.Watch(watching, last, nil)
		done <- seen{course, err}
	}()
	if r := s.live(ctx, args...); r.Code != 0 {
		return lab.Course{}, errors.New("the rotation did not come to its end")
	}
	// It is over: what is seen of it is a moment behind.
	timer := time.AfterFunc(10*time.Second, stop)
	defer timer.Stop()
	what := <-done
	return what.course, what.err
}

// onlyRoot is the serial of the one root that all Envoys trust.
func (s *scene) onlyRoot(ctx context.Context) (string, error) {
	only := ""
	for _, p := range s.Sidecars() {
		roots, err := p.TrustedRoots(ctx)
		if err != nil {
			return "", err
		}
		if len(roots) != 1 || (only != "" && roots[0] != only) {
			return "", fmt.Errorf("the Envoy of %s trusts the roots %s", p.Name, strings.Join(roots, ", "))
		}
		only = roots[0]
	}
	return only, nil
}

// sealedVault: nothing waits for Vault but the next issuer.
func sealedVault(ctx context.Context, s *scene) (reason string, err error) {
	if err := s.Vault.Seal(ctx); err != nil {
		return "", err
	}
	s.note("vault operator seal", "Success! Vault is sealed.")
	defer func() { err = errors.Join(err, s.Vault.Unseal(context.WithoutCancel(ctx))) }()
	if r := s.ensign(ctx, "proxy", "renew", "shop/reader"); r.Code != 0 {
		return "", errors.New("no certificate is issued without Vault")
	}
	s.ensign(ctx, "ca", "status")
	now, err := s.Authority(ctx)
	if err != nil {
		return "", err
	}
	until := now.Upstream.IssuingUntil
	if until.IsZero() {
		return "", errors.New("nobody says until when can be issued without Vault")
	}
	return "the reader has a new certificate; without Vault it goes on like this until " + until.Format(time.RFC3339), nil
}

func rotationsRecorded(ctx context.Context, s *scene) (string, error) {
	s.ensign(ctx, "audit", "list", "--kind", "rotation")
	var entries []json.RawMessage
	if err := decode(s.Ensign(ctx, "audit", "list", "--kind", "rotation", "-o", "json"), &entries); err != nil {
		return "", err
	}
	// The first root, and begin, distribute, activate, retire, finish of three rotations.
	if len(entries) != 16 {
		return "", fmt.Errorf("%d entries tell of three rotations, 16 are due", len(entries))
	}
	if r := s.ensign(ctx, "audit", "verify"); r.Code != 0 {
		return "", errors.New("the record does not verify")
	}
	return "each step of the three rotations was recorded before it was taken", nil
}
