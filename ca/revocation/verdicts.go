package revocation

import (
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// verdicts answer about one caller without going through the list.
type verdicts struct {
	list *List
	// quarantined, by SPIFFE ID.
	quarantined map[string]Act
	// accounts (by SPIFFE ID) and pods (by NAMESPACE/NAME): the last revocation, up to
	// whose time tokens are refused.
	accounts, pods map[string]Act
	// revoked certificates by serial. One in quarantine only is none.
	revoked map[string]Certificate
	// keys of those, by their SHA-256.
	keys    map[string]bool
	issuers map[string]bool
}

func judge(td spiffeid.TrustDomain, l *List) *verdicts {
	v := &verdicts{
		list: l, quarantined: map[string]Act{}, accounts: map[string]Act{}, pods: map[string]Act{},
		revoked: map[string]Certificate{}, keys: map[string]bool{}, issuers: map[string]bool{},
	}
	for _, a := range l.Acts {
		switch {
		case a.Verb == Quarantine:
			v.quarantined[a.Target.account(td)] = a
		case a.Target.account(td) != "":
			id := a.Target.account(td)
			v.accounts[id] = later(v.accounts[id], a)
		case a.Target.Kind == Pod:
			v.pods[a.Target.Value] = later(v.pods[a.Target.Value], a)
		}
	}
	for _, c := range l.Certificates {
		if !c.Quarantined {
			v.revoked[c.Serial] = c
			v.keys[c.Key] = true
		}
	}
	for _, i := range l.Issuers {
		v.issuers[i.Serial] = true
	}
	return v
}

// later is the act up to whose time more tokens are refused.
func later(a, b Act) Act {
	if b.Time.Before(a.Time) {
		return a
	}
	return b
}

// proof says whether what a caller brought still proves anything. Of two proofs
// none may be revoked.
func (v *verdicts) proof(c identity.Caller) error {
	if cut, ok := v.revoked[c.Serial]; ok {
		return fmt.Errorf("%w: serial %s (%s) by act %d: prove yourself with a token, made after the act, and no certificate",
			identity.ErrRevoked, c.Serial, cut.Because, cut.Act)
	}
	if c.Proof == identity.ProofSVID {
		return nil
	}
	if a, ok := v.accounts[c.Account.String()]; ok && !c.IssuedAt.After(a.Time) {
		return refuseToken(c, a)
	}
	if a, ok := v.pods[c.Account.Namespace+"/"+c.Pod]; ok && !c.IssuedAt.After(a.Time) {
		return refuseToken(c, a)
	}
	return nil
}

func refuseToken(c identity.Caller, a Act) error {
	return fmt.Errorf("%w: tokens of %s made until %s, by act %d: use a token made after that",
		identity.ErrRevoked, a.Target, a.Time.Format(time.RFC3339), a.Index)
}

// certificate says whether a caller may have a certificate.
func (v *verdicts) certificate(c identity.Caller) error {
	if a, ok := v.quarantined[c.Account.String()]; ok {
		return fmt.Errorf("%w: %s since %s, by act %d", identity.ErrQuarantined, c.Account, a.Time.Format(time.RFC3339), a.Index)
	}
	return v.proof(c)
}
