package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
)

func TestCode(t *testing.T) {
	for err, want := range map[error]codes.Code{
		nil:                                        codes.OK,
		identity.ErrNoProof:                        codes.Unauthenticated,
		identity.ErrMalformed:                      codes.Unauthenticated,
		identity.ErrSignature:                      codes.Unauthenticated,
		identity.ErrUnrecorded:                     codes.Unauthenticated,
		identity.ErrExpired:                        codes.Unauthenticated,
		identity.ErrNotYetValid:                    codes.Unauthenticated,
		identity.ErrAudience:                       codes.Unauthenticated,
		identity.ErrTrustDomain:                    codes.Unauthenticated,
		identity.ErrUnknownAccount:                 codes.PermissionDenied,
		identity.ErrUnknownPod:                     codes.PermissionDenied,
		identity.ErrMismatch:                       codes.PermissionDenied,
		identity.ErrRevoked:                        codes.PermissionDenied,
		identity.ErrQuarantined:                    codes.PermissionDenied,
		identity.ErrUnavailable:                    codes.Unavailable,
		ca.ErrIssuerExpired:                        codes.Unavailable,
		ca.ErrLedger:                               codes.Unavailable,
		ca.ErrMisissuance:                          codes.Internal,
		ca.ErrLifetime:                             codes.InvalidArgument,
		&ca.LintError{Check: "names"}:              codes.Internal,
		context.Canceled:                           codes.Canceled,
		context.DeadlineExceeded:                   codes.DeadlineExceeded,
		errors.New("what nobody foresaw"):          codes.Internal,
		status.Error(codes.NotFound, "x"):          codes.NotFound,
		&ca.CSRError{Reason: ca.ReasonWeakKey}:     codes.InvalidArgument,
		&ca.CSRError{Reason: ca.ReasonForeignName}: codes.PermissionDenied,
		fmt.Errorf("%w: %w", ca.ErrLedger, context.Canceled):         codes.Canceled,
		fmt.Errorf("%w: %w", ca.ErrLedger, errors.New("disk")):       codes.Unavailable,
		fmt.Errorf("%w: %w", identity.ErrUnavailable, ca.ErrLedger):  codes.Unavailable,
		fmt.Errorf("checking the token: %w", identity.ErrUnknownPod): codes.PermissionDenied,
	} {
		if err != nil {
			if got := server.Code(fmt.Errorf("wrapped: %w", err)); got != want {
				t.Errorf("%v wrapped: %s, want %s", err, got, want)
			}
		}
		if got := server.Code(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestOutcome(t *testing.T) {
	for err, want := range map[error]string{
		nil:                                    "issued",
		identity.ErrExpired:                    "expired",
		identity.ErrRevoked:                    "revoked",
		identity.ErrQuarantined:                "quarantined",
		&ca.CSRError{Reason: ca.ReasonWeakKey}: "csr_weak_key",
		errors.New("x"):                        "internal",
	} {
		if got := server.Outcome(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	metrics := server.NewMetrics(prometheus.NewRegistry())
	for name, cfg := range map[string]server.Config{
		"nothing":        {},
		"no issuer":      {Metrics: metrics},
		"no metrics":     {Issuer: slowIssuer{}},
		"negative limit": {Issuer: slowIssuer{}, Metrics: metrics, Limit: -1},
		"negative rate":  {Issuer: slowIssuer{}, Metrics: metrics, Limits: server.Limits{PerSecond: -1}},
	} {
		if _, err := server.New(cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func trustDomain(name string) (spiffeid.TrustDomain, error) {
	return spiffeid.TrustDomainFromString(name)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
