package identity

import (
	"context"
	"fmt"
	"time"
)

// Combined takes a token, an SVID, or both. With both, each must hold by itself
// and they must name the same account and the same pod ([ErrMismatch]): a bad
// proof is never outvoted by a good one. With neither it is [ErrNoProof].
func Combined(token, svid Authenticator) Authenticator {
	return combined{token: token, svid: svid}
}

type combined struct{ token, svid Authenticator }

// Authenticate implements [Authenticator].
func (a combined) Authenticate(ctx context.Context, c Credentials) (Caller, error) {
	hasToken, hasChain := c.Token != "", len(c.Chain) > 0
	switch {
	case hasToken && hasChain:
		return a.both(ctx, c)
	case hasToken:
		return a.token.Authenticate(ctx, c)
	case hasChain:
		return a.svid.Authenticate(ctx, c)
	}
	return Caller{}, fmt.Errorf("%w: bring a bearer token or a client certificate", ErrNoProof)
}

func (a combined) both(ctx context.Context, c Credentials) (Caller, error) {
	byToken, err := a.token.Authenticate(ctx, c)
	if err != nil {
		return Caller{}, fmt.Errorf("checking the token of two proofs: %w", err)
	}
	bySVID, err := a.svid.Authenticate(ctx, c)
	if err != nil {
		return Caller{}, fmt.Errorf("checking the certificate of two proofs: %w", err)
	}
	return agree(byToken, bySVID)
}

// agree is the token's caller with the certificate's serial beside it. It ends
// with whichever proof ends first, and is bound to what either is bound to.
func agree(token, svid Caller) (Caller, error) {
	if token.Account != svid.Account {
		return Caller{}, fmt.Errorf("%w: the token is of %s, the certificate of %s", ErrMismatch, token.Account, svid.Account)
	}
	if token.Pod != "" && svid.Pod != "" && (token.Pod != svid.Pod || token.PodUID != svid.PodUID) {
		return Caller{}, fmt.Errorf("%w: the token is of pod %s (%s), the certificate of pod %s (%s)",
			ErrMismatch, token.Pod, token.PodUID, svid.Pod, svid.PodUID)
	}
	if token.Pod == "" {
		token.Pod, token.PodUID, token.Node = svid.Pod, svid.PodUID, svid.Node
	}
	token.Serial = svid.Serial
	token.Expires = earlier(token.Expires, svid.Expires)
	return token, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
