package revocation

import (
	"cmp"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

// facts are what the ledger holds of those whom acts may hit, found by what acts
// may name. They are made once and then only read.
type facts struct {
	td spiffeid.TrustDomain
	// tokenLife is the longest life of a token.
	tokenLife time.Duration
	// acts are all there ever were, oldest first.
	acts []Act
	// renewed are the serials renewed from one, for each that was revoked.
	renewed map[string][]string
	// issuers that live, by serial.
	issuers map[string]Issuer
	// live SVIDs, oldest first in each.
	bySerial                   map[string]ca.Recorded
	byAccount, byPod, byIssuer map[string][]ca.Recorded
}

// hold takes up the live SVIDs and issuers.
func (f *facts) hold(svids, issuers []ca.Recorded) {
	f.issuers = map[string]Issuer{}
	for _, r := range issuers {
		f.issuers[r.Entry.Serial] = Issuer{Serial: r.Entry.Serial, Subject: r.Entry.Subject, NotAfter: r.Entry.NotAfter.UTC()}
	}
	svids = slices.SortedFunc(slices.Values(svids), func(a, b ca.Recorded) int { return cmp.Compare(a.Index, b.Index) })
	f.bySerial = make(map[string]ca.Recorded, len(svids))
	f.byAccount, f.byPod, f.byIssuer = map[string][]ca.Recorded{}, map[string][]ca.Recorded{}, map[string][]ca.Recorded{}
	for _, r := range svids {
		f.bySerial[r.Entry.Serial] = r
		f.byAccount[r.Entry.SPIFFEID] = append(f.byAccount[r.Entry.SPIFFEID], r)
		f.byIssuer[r.Entry.IssuerSerial] = append(f.byIssuer[r.Entry.IssuerSerial], r)
		if pod := podOf(r.Entry); pod != "" {
			f.byPod[pod] = append(f.byPod[pod], r)
		}
	}
}

// podOf is the pod that an SVID is bound to, NAMESPACE/NAME; "" if to none.
func podOf(e ca.Entry) string {
	if e.Pod == "" {
		return ""
	}
	id, err := spiffeid.FromString(e.SPIFFEID)
	if err != nil {
		return ""
	}
	account, err := identity.AccountFromID(id)
	if err != nil {
		return ""
	}
	return account.Namespace + "/" + e.Pod
}

// hit is a live SVID that an act covers.
type hit struct {
	ca.Recorded
	because string
}

// hits are the live SVIDs that an act covers, oldest first.
func (f *facts) hits(a Act) []hit {
	switch {
	case a.Verb == Quarantine:
		return all(f.byAccount[a.Target.account(f.td)])
	case a.Target.Kind == Serial:
		return f.renewals(a.Target.Value)
	case a.Target.Kind == IssuerSerial:
		return all(f.byIssuer[a.Target.Value])
	case a.Target.Kind == Pod:
		return before(a.Index, f.byPod[a.Target.Value])
	}
	return before(a.Index, f.byAccount[a.Target.account(f.td)])
}

func all(svids []ca.Recorded) []hit {
	found := make([]hit, 0, len(svids))
	for _, r := range svids {
		found = append(found, hit{r, itself})
	}
	return found
}

// before are those that the ledger had when the act came, and what was renewed from
// them: nothing, unless somebody issued without asking [Register.Admit].
func before(index uint64, svids []ca.Recorded) []hit {
	var found []hit
	covered := map[string]bool{}
	for _, r := range svids {
		switch parent := r.Entry.ProofSerial; {
		case r.Index < index:
			found = append(found, hit{r, itself})
		case covered[parent]:
			found = append(found, hit{r, renewedFrom + parent})
		default:
			continue
		}
		covered[r.Entry.Serial] = true
	}
	return found
}

// renewals are the SVID with a serial, if it lives, and those renewed from it that do.
func (f *facts) renewals(serial string) []hit {
	var found []hit
	if r, ok := f.bySerial[serial]; ok {
		found = append(found, hit{r, itself})
	}
	for _, s := range f.renewed[serial] {
		if r, ok := f.bySerial[s]; ok {
			found = append(found, hit{r, renewedFrom + serial})
		}
	}
	return found
}

// What [Certificate].Because says.
const (
	itself      = "itself"
	renewedFrom = "renewed from "
)
