package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ensign-mesh/ensign/test/lab"
)

// audit: the ledger as it is verifies; a copy that lacks the newest entries, and
// one in which a serial was changed on disk, do not.
func audit(ctx context.Context, s *scene) (string, error) {
	old, err := s.CopyData("old")
	if err != nil {
		return "", err
	}
	s.note("cp -a "+s.Control.Data+" "+old.Data, "")
	token, checkpoint := filepath.Join(s.Dir(), "one-more-token"), filepath.Join(s.Dir(), "checkpoint")
	if r := s.ensign(ctx, "token", "create", "--namespace", "shop", "--serviceaccount", "reader", "--ttl", "10m", "--out", token); r.Code != 0 {
		return "", errors.New("no token could be made")
	}
	if r := s.ensign(ctx, "audit", "verify", "--save", checkpoint); r.Code != 0 {
		return "", errors.New("the ledger does not verify")
	}
	if err := old.Start(ctx); err != nil {
		return "", err
	}
	defer old.Process().Kill()
	s.note("ip netns exec "+old.Net.Name+" "+old.Line()+" &", "")
	if r := s.show(old.Ensign(ctx, "audit", "verify", "--checkpoint", checkpoint)); r.Code != 1 {
		return "", fmt.Errorf("a ledger without its newest entry passes: exit %d", r.Code)
	}
	if err := old.Process().Kill(); err != nil {
		return "", err
	}
	return s.forged(ctx)
}

// forged: either the control plane will not serve such a ledger, or the check
// finds it.
func (s *scene) forged(ctx context.Context) (string, error) {
	serial, forged, err := s.forgery(ctx)
	if err != nil {
		return "", err
	}
	copied, err := s.Forge(ctx, serial, forged)
	if err != nil {
		return "", err
	}
	s.note(fmt.Sprintf("cp -a %s %s && sed -i s/%s/%s/ %s/*", s.Control.Data, copied.Data, serial, forged, copied.Data), "")
	if err := copied.Start(ctx); err != nil {
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
		why := lines[len(lines)-1]
		s.show(lab.Result{Line: "ip netns exec " + copied.Net.Name + " " + copied.Line(), Output: why, Code: copied.Process().ExitCode()})
		if !strings.Contains(why, "ledger") {
			return "", fmt.Errorf("ensignd did not start on the copy, for another reason: %s", why)
		}
		return "the ledger verifies; one that was rolled back does not, and on one with a serial changed on disk ensignd refuses to start", nil
	}
	defer copied.Process().Kill()
	if r := s.show(copied.Ensign(ctx, "audit", "verify")); r.Code != 1 {
		return "", fmt.Errorf("a forged entry was not found: exit %d", r.Code)
	}
	return "the ledger verifies; one that was rolled back does not, nor one with a serial changed on disk", nil
}

// forgery is the serial of an issued certificate and another that looks like it.
func (s *scene) forgery(ctx context.Context) (serial, forged string, err error) {
	var entries []struct {
		Serial string `json:"serial"`
	}
	if err := decode(s.Ensign(ctx, "audit", "list", "--kind", "svid", "-o", "json"), &entries); err != nil {
		return "", "", err
	}
	if len(entries) == 0 || len(entries[0].Serial) < 8 {
		return "", "", errors.New("the ledger holds no certificate to forge")
	}
	serial = entries[0].Serial
	last := "0"
	if strings.HasSuffix(serial, last) {
		last = "1"
	}
	return serial, serial[:len(serial)-1] + last, nil
}
