package daemon

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/mesh"
)

// scene is all that says who holds what at one moment.
type scene struct {
	now      time.Time
	snapshot *mesh.Snapshot
	svids    map[string]*holding
	pods     bindings
	root     func(issuerSerial string) string
	reports  map[podName]report.Report
	acks     map[string][]report.Ack
	agents   map[string]agents.Agent
	list     *revocation.List
}

// bearer is who holds SVIDs: one pod as one identity, or one chain of SVIDs that no pod
// ever acknowledged, by the serial of its oldest.
type bearer struct {
	pod   podName
	uid   string
	id    string
	chain string
}

// instances are all bearers of a live SVID, by name.
func (s *scene) instances() []rotation.Instance {
	held := make(map[bearer]*rotation.Instance, len(s.reports))
	cut := s.cutOff()
	owners := s.owners()
	for _, h := range s.svids {
		if ended(h.notAfter, s.now) || cut(h) {
			continue
		}
		svid := rotation.SVID{Serial: h.serial, Index: h.index, Root: s.root(h.issuer), IssuedAt: h.issuedAt, NotAfter: h.notAfter}
		for _, b := range owners(h) {
			one := held[b]
			if one == nil {
				one = s.instance(b)
				one.SVIDs = make([]rotation.SVID, 0, 2)
				held[b] = one
			}
			one.SVIDs = append(one.SVIDs, svid)
		}
	}
	list := make([]rotation.Instance, 0, len(held))
	for _, one := range held {
		slices.SortFunc(one.SVIDs, func(a, b rotation.SVID) int { return cmp.Compare(a.Index, b.Index) })
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b rotation.Instance) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// cutOff says of an SVID whether everybody refuses it: who is in quarantine gets no
// other before it is released.
func (s *scene) cutOff() func(*holding) bool {
	serials, issuers := map[string]bool{}, map[string]bool{}
	for _, c := range s.list.Certificates {
		serials[c.Serial] = true
	}
	for _, i := range s.list.Issuers {
		issuers[i.Serial] = true
	}
	return func(h *holding) bool { return serials[h.serial] || issuers[h.issuer] }
}

// owners says whose an SVID is. One that was bound to a pod is that pod's. Any other
// belongs to whoever acknowledged it, or one that it was renewed from, or one that was
// renewed from these; two who say so both have to follow. If nobody does, its chain
// stands for itself.
func (s *scene) owners() func(*holding) []bearer {
	tops := s.tops()
	claims := map[string][]bearer{}
	for serial, h := range s.svids {
		if h.pod != (podName{}) {
			continue
		}
		top := tops[serial]
		for _, of := range []string{serial, h.proof} {
			for _, a := range s.acks[of] {
				b := bearer{pod: podName{a.Namespace, a.Pod}, uid: a.PodUID, id: a.SPIFFEID}
				if a.SPIFFEID == h.id && !slices.Contains(claims[top], b) {
					claims[top] = append(claims[top], b)
				}
			}
		}
	}
	own := make([]bearer, 1)
	return func(h *holding) []bearer {
		if h.pod != (podName{}) {
			own[0] = h.bearer()
			return own
		}
		top := tops[h.serial]
		if claimed := claims[top]; len(claimed) > 0 {
			return claimed
		}
		own[0] = bearer{id: h.id, chain: top}
		return own
	}
}

// tops is of each SVID that was bound to no pod the oldest that is still known of those
// that it was renewed from. Each link is followed once, however long a chain is.
func (s *scene) tops() map[string]string {
	tops := map[string]string{}
	var path []string
	for _, h := range s.svids {
		if h.pod != (podName{}) {
			continue
		}
		path = path[:0]
		top := tops[h.serial]
		for top == "" {
			path = append(path, h.serial)
			before, known := s.svids[h.proof]
			// A renewal comes behind what it was renewed from, in any log that is whole.
			if h.proof == "" || !known || before.index >= h.index {
				top = h.serial
				break
			}
			h, top = before, tops[before.serial]
		}
		for _, serial := range path {
			tops[serial] = top
		}
	}
	return tops
}

// instance is a bearer without its SVIDs.
func (s *scene) instance(b bearer) *rotation.Instance {
	if b.chain != "" {
		one := &rotation.Instance{Name: b.id + "#" + b.chain, SPIFFEID: b.id}
		s.miss(one, !s.hasAccount(b.id))
		return one
	}
	name := b.pod.namespace + "/" + b.pod.pod
	one := &rotation.Instance{Name: name, SPIFFEID: b.id}
	// Of one that holds an SVID of its own counts what was proven by that pod alone.
	own := s.pods.hold(b, s.now)
	agent, ok := s.agents[name]
	one.Connected = ok && agent.PodUID == b.uid && agent.SPIFFEID == b.id && (agent.Bound || !own)
	w := s.snapshot.Workloads[mesh.Key{Namespace: b.pod.namespace, Name: b.pod.pod}]
	if w == nil || w.UID != b.uid || w.Account.String() != b.id {
		// The name may be that of another pod by now.
		one.Name = name + "#" + cmp.Or(b.uid, b.id)
		s.miss(one, !one.Connected)
	}
	if r, said := s.reports[b.pod]; said && r.PodUID == b.uid && r.SPIFFEID == b.id && (r.Bound || !own) {
		one.Report = &rotation.Report{
			AckedSerial: r.AckedSerial, AckedBundle: r.AckedBundle, TrustSequence: r.TrustSequence, ReceivedAt: r.ReceivedAt,
			Skew: r.AgentClock.Sub(r.ReceivedAt), Problem: cmp.Or(r.TrustError, r.RenewalError, r.SecretError),
		}
	}
	return one
}

// miss says of an instance that the mesh does not have whether it is gone. A picture
// without any pod, while somebody holds an SVID, is a source that fell over more likely
// than a mesh that ended.
func (s *scene) miss(one *rotation.Instance, missing bool) {
	if len(s.snapshot.Workloads) > 0 {
		one.Gone = missing
	} else if missing {
		one.Doubt = "the manifests hold no pod at all, so nobody counts as gone: put them back, " +
			"or, if no pod of it is left, run `ensign revoke --id " + one.SPIFFEID + "`"
	}
}

func (s *scene) hasAccount(text string) bool {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return false
	}
	account, err := identity.AccountFromID(id)
	if err != nil {
		return false
	}
	_, exists := s.snapshot.Accounts[mesh.Key{Namespace: account.Namespace, Name: account.Name}]
	return exists
}
