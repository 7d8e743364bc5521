package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

// instance is one workload: a pod, or an account without one.
type instance struct {
	newest ca.Entry
	svids  []ca.Entry // all that live
}

type instanceKey struct{ id, pod, uid string }

// instances groups live SVIDs by who holds them, in the order of their names.
func instances(live []ca.Recorded) []*instance {
	byKey := map[instanceKey]*instance{}
	for _, one := range live {
		e := one.Entry
		key := instanceKey{e.SPIFFEID, e.Pod, e.PodUID}
		w := byKey[key]
		if w == nil {
			w = &instance{}
			byKey[key] = w
		}
		if e.Time.After(w.newest.Time) {
			w.newest = e
		}
		w.svids = append(w.svids, e)
	}
	var all []*instance
	for _, w := range byKey {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *instance) int {
		return cmp.Or(cmp.Compare(a.newest.SPIFFEID, b.newest.SPIFFEID), cmp.Compare(a.newest.Pod, b.newest.Pod), cmp.Compare(a.newest.PodUID, b.newest.PodUID))
	})
	return all
}

// instance looks at one workload that may be there or gone.
func (a *audit) instance(w *instance) {
	e := w.newest
	if _, cut := a.Cut[e.Certificate]; cut || a.gone(e) != "" {
		return
	}
	f := Finding{SPIFFEID: e.SPIFFEID, Serial: e.Serial, Where: whereOf(e), At: e.Time}
	a.weak(e, f)
	if life := e.NotAfter.Sub(e.NotBefore); a.Now.After(e.NotBefore.Add(life / 4 * 3)) {
		f.Kind, f.Detail = Expiring, fmt.Sprintf("it ends in %s and should have been renewed at half of its life: is its agent running?", e.NotAfter.Sub(a.Now).Round(time.Second))
		a.add(f)
	}
	used := slices.ContainsFunc(w.svids, func(e ca.Entry) bool { return a.serving[e.Certificate] || a.serving[e.Serial] })
	if !used && a.Now.Sub(e.Time) > fresh {
		f.Kind, f.Detail = Unused, "no proxy serves it and nobody met it: who asked for it, from "+cmp.Or(e.Requester, "an unknown address")+"?"
		a.add(f)
	}
}

// weak names each weakness of a certificate by itself.
func (a *audit) weak(e ca.Entry, f Finding) {
	var bits int
	if _, err := fmt.Sscanf(e.KeyAlgorithm, "RSA %d", &bits); err == nil && bits < 3072 {
		f.Kind, f.Detail = Weak, fmt.Sprintf("its key is %s: use ECDSA P-256, or RSA of 3072 bits", e.KeyAlgorithm)
		a.add(f)
	}
	if life := e.NotAfter.Sub(e.NotBefore); a.LongestLife > 0 && life > a.LongestLife+ca.Backdate {
		f.Kind, f.Detail = Weak, fmt.Sprintf("it lives for %s, more than the %s that are issued now", life, a.LongestLife)
		a.add(f)
	}
	if e.Pod == "" {
		f.Kind, f.Detail = Weak, "its proof is bound to no pod: whoever has it can use it anywhere; make tokens with --pod"
		a.add(f)
	}
	if age := a.Now.Sub(e.TokenAt); !e.TokenAt.IsZero() && a.MaxTokenAge > 0 && age > a.MaxTokenAge/10*9 {
		f.Kind, f.Detail = Weak, fmt.Sprintf("no token has proven it for %s: renewals by certificate alone end at %s; is its token file fresh?", age.Round(time.Hour), a.MaxTokenAge)
		a.add(f)
	}
}

// orphan adds a live certificate whose owner is gone, unless it is cut off.
func (a *audit) orphan(e ca.Entry) {
	if _, cut := a.Cut[e.Certificate]; cut {
		return
	}
	if why := a.gone(e); why != "" {
		a.add(Finding{Kind: Orphan, SPIFFEID: e.SPIFFEID, Serial: e.Serial, Where: whereOf(e), At: e.Time,
			Detail: why + "; it can't be renewed, and is believed until " + e.NotAfter.UTC().Format(time.RFC3339) + ": `ensign revoke --serial " + e.Serial + "`"})
	}
}

// gone says why an SVID has no owner any more; "" if it has one.
func (a *audit) gone(e ca.Entry) string {
	account, ok := accountOf(e.SPIFFEID)
	if !ok {
		return "its ID names no service account"
	}
	uid, exists := a.Mesh.Account(account.Namespace, account.Name)
	switch {
	case !exists:
		return "its service account is gone"
	case e.AccountUID != "" && uid != e.AccountUID:
		return "its service account was deleted and made again"
	case e.Pod == "":
		return ""
	}
	pod, exists := a.Mesh.Pod(account.Namespace, e.Pod)
	switch {
	case !exists:
		return "its pod is gone"
	case e.PodUID != "" && pod.UID != e.PodUID:
		return "its pod was deleted and made again"
	case pod.Account != account.Name:
		return "its pod runs as another account now"
	}
	return ""
}

func accountOf(text string) (identity.ServiceAccount, bool) {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return identity.ServiceAccount{}, false
	}
	account, err := identity.AccountFromID(id)
	return account, err == nil
}

func whereOf(e ca.Entry) string {
	account, ok := accountOf(e.SPIFFEID)
	if !ok || e.Pod == "" {
		return ""
	}
	return account.Namespace + "/" + e.Pod
}
