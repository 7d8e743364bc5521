package mesh

import (
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// Deny makes next, wholly, who is cut off; it answers as [Builder.Apply] does,
// and is called by the same goroutine. Until an identity in quarantine is left
// out again, it answers for no service: its endpoints and its name are taken from
// every host, and the pods that run as it take no connection. All else stays
// compiled, so that a release brings back what there was.
func (b *Builder) Deny(next Denied) (*Snapshot, ChangeSet, []Problem) {
	b.mark = newMarks(b.last)
	old := b.last.Denied
	denied := &Denied{Digests: normal(next.Digests), Issuers: normal(next.Issuers), Identities: normal(next.Identities)}
	if !denied.equal(old) {
		b.mark.denied = denied
	}
	for _, id := range denied.Since(old) {
		b.markIdentity(id)
	}
	changes := b.compose()
	return b.last, changes, b.report.all(b.objects)
}

func (d *Denied) equal(o *Denied) bool {
	return slices.Equal(d.Digests, o.Digests) && slices.Equal(d.Issuers, o.Issuers) && slices.Equal(d.Identities, o.Identities)
}

// Since are, sorted, the identities whose quarantine began or ended after old.
func (d *Denied) Since(old *Denied) []string {
	return normal(slices.Concat(without(d.Identities, old.Identities), without(old.Identities, d.Identities)))
}

// Quarantined says whether an identity is in quarantine.
func (d *Denied) Quarantined(id string) bool {
	_, found := slices.BinarySearch(d.Identities, id)
	return found
}

// markIdentity marks the pods that run as an identity, and every host that it
// may answer for.
func (b *Builder) markIdentity(text string) {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return // nobody's
	}
	if account, err := identity.AccountFromID(id); err == nil {
		for _, p := range b.pods.byNamespace[account.Namespace] {
			if p.id == id {
				b.markPod(p)
			}
		}
	}
	for _, list := range b.entries.all {
		for _, d := range list {
			if d.entry.names(id) {
				b.mark.hosts.Add(d.service.Host)
			}
		}
	}
}

// names says whether the entry itself names an identity as a server's.
func (e *entry) names(id spiffeid.ID) bool {
	return slices.Contains(e.accounts, id) ||
		slices.ContainsFunc(e.endpoints, func(w entryEndpoint) bool { return w.id == id })
}

// quarantined says whether an identity is, in the snapshot that is composed.
func (b *Builder) quarantined(id spiffeid.ID) bool { return b.mark.denied.Quarantined(id.String()) }

// normal is the list sorted, each value once; nil for an empty one.
func normal(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 {
		return nil
	}
	return out
}

// without is what is in a and not in b; both are sorted.
func without(a, b []string) []string {
	var rest []string
	for _, v := range a {
		if _, found := slices.BinarySearch(b, v); !found {
			rest = append(rest, v)
		}
	}
	return rest
}
