package main

import (
	"context"
	"errors"
)

// audit: the ledger as it is verifies.
func audit(ctx context.Context, s *scene) (string, error) {
	if r := s.ensign(ctx, "audit", "verify"); r.Code != 0 {
		return "", errors.New("the ledger does not verify")
	}
	return "every entry is in the tree that the checkpoint signs", nil
}
