package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ensign-mesh/ensign/test/lab"
)

// audit: the ledger as it is verifies; a copy in which one serial was changed on
// disk does not.
func audit(ctx context.Context, s *scene) (string, error) {
	if r := s.ensign(ctx, "audit", "verify"); r.Code != 0 {
		return "", errors.New("the ledger does not verify")
	}
	serial, forged, err := s.forgery(ctx)
	if err != nil {
		return "", err
	}
	copied, err := s.Forge(ctx, serial, forged)
	if err != nil {
		return "", err
	}
	s.note(fmt.Sprintf("cp -a %s %s && sed -i s/%s/%s/ %s/*", s.Control.Data, copied.Data, serial, forged, copied.Data), "")
	// Either the control plane will not serve such a ledger, or the check finds it.
	if err := copied.Start(ctx); err != nil {
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
		why := lines[len(lines)-1]
		s.show(lab.Result{Line: copied.Line(), Output: why, Code: copied.Process().ExitCode()})
		if !strings.Contains(why, "ledger") {
			return "", fmt.Errorf("ensignd did not start on the copy, for another reason: %s", why)
		}
		return "the ledger verifies; on a copy with one serial changed on disk, ensignd refuses to start", nil
	}
	defer copied.Process().Kill()
	if r := s.show(copied.Ensign(ctx, "audit", "verify")); r.Code != 1 {
		return "", fmt.Errorf("a forged entry was not found: exit %d", r.Code)
	}
	return "the ledger verifies; a copy with one serial changed on disk does not", nil
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
