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

var revokeChapters = []chapter{
	{"Everything that is issued, served and seen fits together", cleanAudit},
	{"A key is stolen; the thief is served in every way", theft},
	{"Who would be hit, before anything is done", planned},
	{"The key is revoked: the thief is refused in every way, neighbours notice nothing", revoked},
	{"A thief that answers for a server with that server's own key", fakeServer},
	{"A whole identity is put into quarantine, and released", quarantined},
	{"All of it is in the record, which verifies", recorded},
}

const revokeAccounts = `apiVersion: v1
kind: ServiceAccount
metadata: {name: courier, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: echo, namespace: stock}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: stock}
spec:
  clusterIP: 10.96.0.21
  selector: {app: echo}
  ports: [{name: tcp, port: 7000}]
`

// revokePods are the bookshop's, a courier whose key is stolen, and a line echo
// over plain TCP. The outsider is the thief.
func revokePods() []lab.PodSpec {
	return append(lab.Bookshop(),
		lab.PodSpec{Name: "courier", Namespace: "shop", Account: "courier", Sidecar: true},
		lab.PodSpec{Name: "echo", Namespace: "stock", Account: "echo", Sidecar: true, Port: 7000,
			Labels: map[string]string{"app": "echo"}, App: []string{"bookshop", "echo", "--listen", ":7000"}})
}

// cleanAudit: nothing grave is found in a mesh that was just brought up.
func cleanAudit(ctx context.Context, s *scene) (string, error) {
	err := within(ctx, 10*time.Second, func() error {
		if r := s.Ensign(ctx, "identity", "audit", "--fail-on", "any"); r.Code != 0 {
			return errors.New(r.Output)
		}
		return nil
	})
	s.ensign(ctx, "identity", "audit", "--fail-on", "any")
	if err != nil {
		return "", err
	}
	return "no orphan, no weak, no unlogged certificate", nil
}

// loot is what the story's thief has; chapters pass it on.
var loot struct {
	thief *lab.Thief
	holds []lab.Hold
}

func (s *scene) serial() string { return loot.thief.Cert.Leaf.SerialNumber.Text(16) }

// theft: the key that the courier's Envoy uses is used from another machine.
func theft(ctx context.Context, s *scene) (string, error) {
	cert, err := s.Pod("courier").StealKey(ctx)
	if err != nil {
		return "", err
	}
	loot.thief = lab.NewThief(s.Pod("outsider"), cert)
	if loot.holds, err = loot.thief.Holds(ctx, s.Pod("catalog"), s.Pod("echo")); err != nil {
		return "", fmt.Errorf("the thief should still be served: %w", err)
	}
	var names []string
	for _, h := range loot.holds {
		names = append(names, h.Name)
	}
	s.note("the thief, on a machine outside the mesh, holds against catalog and echo", strings.Join(names, "\n"))
	return fmt.Sprintf("with the courier's key (serial %s) the thief is the courier, to everybody", s.serial()), nil
}

func planned(ctx context.Context, s *scene) (string, error) {
	r := s.ensign(ctx, "revoke", "--serial", s.serial(), "--plan")
	if r.Code != 0 || !strings.Contains(r.Output, "shop/courier") {
		return "", errors.New("the plan does not name the courier")
	}
	for _, h := range loot.holds {
		if !h.Silent {
			if err := h.Try(ctx); err != nil {
				return "", fmt.Errorf("a plan did something: %s: %w", h.Name, err)
			}
		}
	}
	return "the plan names the certificate, its workload and who talks to it; nothing was done", nil
}

// revoked: neighbours send 200 requests a second all the while.
func revoked(ctx context.Context, s *scene) (reason string, err error) {
	zero, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	reports := make(chan outcome, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := s.Pod("reader").Load(running, load.Plan{URL: books, Fresh: fresh, Workers: 4, Rate: 100, For: time.Minute})
			reports <- outcome{r, err}
		}()
	}
	time.Sleep(time.Second)
	line, err := lab.CutOff(ctx, loot.holds, func() lab.Result {
		return s.ensign(ctx, "revoke", "--serial", s.serial(), "--reason", "stolen", "--wait")
	})
	time.Sleep(time.Second)
	stop()
	one, other := <-reports, <-reports
	s.note("what the thief saw, since the command was typed", line.String())
	if err := errors.Join(err, one.err, other.err); err != nil {
		return "", err
	}
	s.note("neighbours on fresh connections and on kept ones, without retries", one.report.String()+"\n"+other.report.String())
	after, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	delta := after.Since(zero)
	s.note("what every Envoy counted meanwhile (catalog and echo refused the thief)", delta.String())
	for _, target := range []string{"catalog", "echo"} {
		delete(delta[target], "ssl.connection_error")
		delete(delta[target], "ssl.fail_verify_error")
	}
	sent, failed := one.report.Sent+other.report.Sent, one.report.Failed+other.report.Failed
	if faults := delta.Faults(); failed > 0 || len(faults) > 0 {
		return "", fmt.Errorf("neighbours were hit: %d of %d requests failed, %v", failed, sent, faults)
	}
	s.ensign(ctx, "proxy", "status")
	return fmt.Sprintf("every way in use was closed %d ms after the command was typed, all %d of them when it returned; 0 of %d requests of neighbours failed",
		line.Last().Milliseconds(), len(line.Refusals), sent), nil
}

// fakeServer: the thief takes the catalog's key and, for the reader, its address.
func fakeServer(ctx context.Context, s *scene) (reason string, err error) {
	cert, err := s.Pod("catalog").StealKey(ctx)
	if err != nil {
		return "", err
	}
	thief := lab.NewThief(s.Pod("outsider"), cert)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	if err := thief.Serve(serving, 9080); err != nil {
		return "", err
	}
	done, restore, err := s.StealAddress(ctx, thief.Pod, s.Pod("catalog"), s.Pod("reader"))
	for _, r := range done {
		s.show(r)
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, restore()) }()
	believed := func() bool {
		return strings.Contains(s.Pod("reader").Exec(ctx, "curl", "-sS", "--max-time", "2", books).Output, "thief")
	}
	// The connections that the reader had with the true catalog break first.
	if err := within(ctx, 15*time.Second, func() error {
		for range 5 {
			if !believed() {
				return errors.New("the reader does not believe the thief, so there is nothing to refuse")
			}
		}
		return nil
	}); err != nil {
		return "", err
	}
	s.in(ctx, "reader", "curl", "-sS", books)
	if r := s.ensign(ctx, "revoke", "--serial", cert.Leaf.SerialNumber.Text(16), "--reason", "stolen", "--wait"); r.Code != 0 {
		return "", errors.New("not every proxy obeys")
	}
	s.in(ctx, "reader", "curl", "-sS", "--max-time", "2", books)
	for range 20 {
		if believed() {
			return "", errors.New("the reader believes the thief after its certificate was revoked")
		}
	}
	return "clients refuse the certificate; the true catalog has a new key already", nil
}

// quarantined: nobody takes the courier's calls until it is released.
func quarantined(ctx context.Context, s *scene) (string, error) {
	id := s.Pod("courier").ID()
	call := func(want string) error {
		r := s.Pod("courier").Exec(ctx, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", books)
		if r.Output != want {
			return fmt.Errorf("the courier got %s, want %s", r.Output, want)
		}
		return nil
	}
	if err := within(ctx, 15*time.Second, func() error { return call("200") }); err != nil {
		return "", fmt.Errorf("before: %w", err)
	}
	if r := s.ensign(ctx, "quarantine", id, "--reason", "looks odd", "--wait"); r.Code != 0 {
		return "", errors.New("not every proxy obeys")
	}
	r := s.in(ctx, "courier", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", books)
	if r.Output == "200" {
		return "", errors.New("the courier is served in quarantine")
	}
	s.ensign(ctx, "revocation", "list")
	if r := s.ensign(ctx, "release", id); r.Code != 0 {
		return "", errors.New("not released")
	}
	if err := within(ctx, 15*time.Second, func() error { return call("200") }); err != nil {
		return "", fmt.Errorf("after: %w", err)
	}
	return "in quarantine the courier was refused by everybody; released, it is served again", nil
}

func recorded(ctx context.Context, s *scene) (string, error) {
	s.ensign(ctx, "audit", "list", "--kind", "revocation")
	var acts []json.RawMessage
	if err := decode(s.Ensign(ctx, "audit", "list", "--kind", "revocation", "-o", "json"), &acts); err != nil {
		return "", err
	}
	if len(acts) != 4 {
		return "", fmt.Errorf("%d acts are recorded, four were done", len(acts))
	}
	if r := s.ensign(ctx, "audit", "verify"); r.Code != 0 {
		return "", errors.New("the record does not verify")
	}
	if r := s.ensign(ctx, "identity", "audit", "--fail-on", "unlogged,revoked-in-use,fork,orphan"); r.Code != 0 {
		return "", errors.New("something does not fit")
	}
	return "four acts, each with who did it and why", nil
}
