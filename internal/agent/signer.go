package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	securityv1 "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/sds"
)

// With two proofs to try, the first may not use up the whole attempt.
const firstProofTimeout = 8 * time.Second

// Sign has the control plane sign a request: proven by the live SVID, and by the
// token when there is none or the control plane did not take it.
func (u *upstream) Sign(ctx context.Context, request []byte, ttl time.Duration) ([]string, error) {
	session, err := u.session()
	if err == nil {
		first, cancel := context.WithTimeout(ctx, firstProofTimeout)
		defer cancel()
		var chain []string
		if chain, err = createCertificate(first, session.conn, request, ttl); err == nil {
			return chain, nil
		}
		u.logger.WarnContext(ctx, "svid was not taken as proof, trying the token", "error", err)
	} else if !errors.Is(err, sds.ErrNone) {
		return nil, err
	}
	conn, err := u.dial(nil)
	if err != nil {
		return nil, fmt.Errorf("connecting to the control plane: %w", err)
	}
	defer conn.Close()
	return createCertificate(ctx, conn, request, ttl)
}

func createCertificate(ctx context.Context, conn *grpc.ClientConn, request []byte, ttl time.Duration) ([]string, error) {
	answer, err := securityv1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx,
		&securityv1.IstioCertificateRequest{Csr: string(request), ValidityDuration: int64(ttl / time.Second)},
		grpc.WaitForReady(false))
	if err != nil {
		return nil, explain(err)
	}
	return answer.GetCertChain(), nil
}

// explain adds what a person can do about a status.
func explain(err error) error {
	switch status.Code(err) {
	case codes.Unauthenticated:
		return fmt.Errorf("%w: is the token (audience, expiry) or the SVID of this control plane?", err)
	case codes.Unavailable:
		return fmt.Errorf("%w: is the control plane up, and does the trust bundle hold its root?", err)
	}
	return err
}
