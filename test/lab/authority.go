package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Authority is what `ensign ca status -o json` answers.
type Authority struct {
	// Roots are all that there were, oldest first.
	Roots  []Root `json:"roots"`
	Bundle string `json:"bundle_sha256"`
	Issuer struct {
		Serial   string    `json:"serial"`
		Root     string    `json:"root_sha256"`
		NotAfter time.Time `json:"not_after"`
		Problem  string    `json:"problem"`
	} `json:"issuer"`
	Upstream struct {
		Place        string    `json:"place"`
		Problem      string    `json:"problem"`
		IssuingUntil time.Time `json:"issuing_until"`
	} `json:"upstream"`
	// Rotation is the one that runs, or the last; nil if there never was one.
	Rotation *Rotation `json:"rotation"`
}

// Root is one root.
type Root struct {
	Fingerprint string `json:"sha256"`
	Subject     string `json:"subject"`
	Place       string `json:"place"`
	Name        string `json:"name"`
	Trusted     bool   `json:"trusted"`
	Signing     bool   `json:"signing"`
	Compromised bool   `json:"compromised"`
	LiveSVIDs   int    `json:"live_svids"`
}

// Rotation is where one stands.
type Rotation struct {
	ID       string `json:"id"`
	Outcome  string `json:"outcome"` // running, completed or rolled-back
	Step     string `json:"step"`
	From     Root   `json:"from"`
	To       Root   `json:"to"`
	Paused   bool   `json:"paused"`
	Reversed bool   `json:"reversed"`
	Problem  string `json:"problem"`
	Gate     struct {
		Name                                                   string
		Instances, Ready, Skipped, Gone, Unverifiable, Waiting int
		Laggards                                               []struct{ Name, Reason string }
	} `json:"gate"`
	Timeline []struct{ Verb, Actor, Detail string } `json:"timeline"`
}

// Signing is the root that issuers are signed by now; the zero Root if there is none.
func (a Authority) Signing() Root {
	for _, r := range a.Roots {
		if r.Signing {
			return r
		}
	}
	return Root{}
}

// Trusted are the fingerprints of the roots that workloads are told to trust.
func (a Authority) Trusted() []string {
	var trusted []string
	for _, r := range a.Roots {
		if r.Trusted {
			trusted = append(trusted, r.Fingerprint)
		}
	}
	return trusted
}

// Authority asks where the roots and the rotation stand.
func (l *Lab) Authority(ctx context.Context) (Authority, error) {
	var a Authority
	r := l.Ensign(ctx, "ca", "status", "-o", "json")
	if r.Code != 0 {
		return a, fmt.Errorf("%s: exit %d: %s", r.Line, r.Code, r.Output)
	}
	if err := json.Unmarshal([]byte(r.Output), &a); err != nil {
		return a, fmt.Errorf("reading the answer of %s: %w", r.Line, err)
	}
	return a, nil
}

// Follow calls seen with each state of the first rotation after the one named (empty:
// of any), until it is over or seen answers an error. It survives restarts of ensignd,
// and may begin before the rotation does.
func (l *Lab) Follow(ctx context.Context, after string, seen func(Authority) error) error {
	for {
		over, err := l.watch(ctx, after, seen)
		if over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("following a rotation: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// watch reads one stream of states to its end; over: the rotation has ended.
func (l *Lab) watch(ctx context.Context, after string, seen func(Authority) error) (over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.program("ensign"), "ca", "status", "--watch", "-o", "json")
	cmd.Env = append(os.Environ(), "ENSIGN_DATA="+l.Control.Data)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("following a rotation: %w", err)
	}
	// Its exit code says how the rotation ended, or that ensignd is away.
	defer func() { cancel(); _ = cmd.Wait() }()
	states := json.NewDecoder(out)
	for {
		var a Authority
		err := states.Decode(&a)
		var broken *json.SyntaxError
		switch {
		case errors.As(err, &broken):
			return false, fmt.Errorf("following a rotation: %w", err)
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, os.ErrClosed):
			return false, fmt.Errorf("following a rotation: %w", err)
		case err != nil:
			return false, nil
		case a.Rotation == nil || a.Rotation.ID == after:
			continue
		}
		if err := seen(a); err != nil {
			return false, err
		}
		if a.Rotation.Outcome != "running" {
			return true, nil
		}
	}
}
