//go:build !cgo

package kms_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/keystore/kms"
)

// TestAStaticBuildSaysHowToHaveModules.
func TestAStaticBuildSaysHowToHaveModules(t *testing.T) {
	place, err := kms.Parse("pkcs11:token=ensign")
	if err != nil {
		t.Fatal(err)
	}
	_, err = kms.Open(t.Context(), kms.Config{Place: place, Keys: memory{}, References: memory{}})
	if !errors.Is(err, kms.ErrNotBuilt) || !strings.Contains(err.Error(), "CGO_ENABLED=1") {
		t.Errorf("opened: %v", err)
	}
}
