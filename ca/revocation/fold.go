package revocation

import (
	"maps"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// fold works out who is cut off at now. It is pure: the same facts make the same
// list, in this process and in the next.
func (f *facts) fold(now time.Time) *List {
	l := &List{}
	if n := len(f.acts); n > 0 {
		l.Revision = f.acts[n-1].Index + 1
	}
	at := map[string]int{} // where in l.Certificates, by fingerprint
	identities := map[string]bool{}
	for _, a := range f.standing() {
		hits := f.hits(a)
		if !f.inForce(a, len(hits), now) {
			continue
		}
		l.Acts = append(l.Acts, a)
		if a.Verb == Quarantine {
			identities[a.Target.account(f.td)] = true
		}
		if i, ok := f.issuers[a.Target.Value]; ok && a.Target.Kind == IssuerSerial && !slices.Contains(l.Issuers, i) {
			l.Issuers = append(l.Issuers, i)
		}
		for _, h := range hits {
			if i, ok := at[h.Entry.Certificate]; ok {
				l.Certificates[i].Quarantined = l.Certificates[i].Quarantined && a.Verb == Quarantine
				continue
			}
			at[h.Entry.Certificate] = len(l.Certificates)
			l.Certificates = append(l.Certificates, certificate(h, a))
		}
	}
	l.Identities = slices.Sorted(maps.Keys(identities))
	return l
}

// standing are the acts that nothing took back, oldest first.
func (f *facts) standing() []Act {
	released := map[string]uint64{} // by SPIFFE ID: index of its last release
	for _, a := range f.acts {
		if a.Verb == Release {
			released[a.Target.account(f.td)] = a.Index
		}
	}
	return slices.DeleteFunc(slices.Clone(f.acts), func(a Act) bool {
		last, ok := released[a.Target.account(f.td)]
		return a.Verb == Release || a.Verb == Quarantine && ok && a.Index < last
	})
}

// inForce says whether an act still keeps anybody out. What a revocation covers
// never grows, so that once it is over it stays so.
func (f *facts) inForce(a Act, hits int, now time.Time) bool {
	switch {
	case a.Verb == Quarantine || hits > 0:
		return true
	case a.Target.Kind == IssuerSerial:
		_, lives := f.issuers[a.Target.Value]
		return lives
	case a.Target.Kind == Serial:
		return false
	}
	return !now.After(a.Time.Add(f.tokenLife))
}

func certificate(h hit, a Act) Certificate {
	e := h.Entry
	return Certificate{
		Fingerprint: e.Certificate, Serial: e.Serial, Key: e.Key, SPIFFEID: e.SPIFFEID,
		Pod: podOf(e), PodUID: e.PodUID,
		IssuerSerial: e.IssuerSerial, IssuerSubject: e.IssuerSubject,
		IssuedAt: e.Time.UTC(), NotBefore: e.NotBefore.UTC(), NotAfter: e.NotAfter.UTC(),
		Act: a.Index, Because: h.because, Quarantined: a.Verb == Quarantine,
	}
}

// live are those that have not expired: a certificate lives through the whole second
// of its end.
func live(records []ca.Recorded, now time.Time) []ca.Recorded {
	return slices.DeleteFunc(slices.Clone(records), func(r ca.Recorded) bool {
		return r.Entry.NotAfter.Before(now.Truncate(time.Second))
	})
}
