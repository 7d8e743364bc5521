package admin

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/mesh"
)

// plan says who an act would hit.
func (s *Service) plan(ctx context.Context, verb revocation.Verb, target revocation.Target) (*ensignv1.CutOffResponse, error) {
	plan, err := s.config.Register.Plan(ctx, verb, target)
	if err != nil {
		return nil, cutOffStatus(err)
	}
	reports, err := s.config.Reports.All(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	sightings, err := s.config.Fleet.Sightings(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	snapshot := s.config.Mesh()
	if snapshot == nil {
		return nil, status.Error(codes.Unavailable, "the mesh is not loaded yet, so who would be hit is not known; without --plan it can be done")
	}
	who := hitBy(snapshot, target, plan.Certificates)
	answer := &ensignv1.CutOffPlan{
		Workloads: who.workloads(snapshot, reports),
		Services:  who.services(snapshot),
		Warnings:  plan.Warnings,
	}
	answer.Callers = who.callers(snapshot, answer.Workloads, sightings, time.Now())
	for _, c := range plan.Certificates {
		answer.Svids = append(answer.Svids, &ensignv1.PlannedSVID{
			Serial: c.Serial, Fingerprint: c.Fingerprint, SpiffeId: c.SPIFFEID, Pod: c.Pod, IssuerSerial: c.IssuerSerial,
			IssuedAt: timestamppb.New(c.IssuedAt), ExpiresAt: timestamppb.New(c.NotAfter), Because: c.Because,
		})
	}
	list, _ := s.config.Register.Current()
	return &ensignv1.CutOffResponse{Plan: answer, Revision: list.Revision}, nil
}

// hit is whom an act covers, by all the names that the mesh knows them by.
type hit struct {
	// whole is the SPIFFE ID that is hit altogether; "" if only some of its certificates are.
	whole string
	pods  set // NAMESPACE/NAME
	// Of the certificates.
	identities, serials, fingerprints set
}

type set map[string]struct{}

func (s set) has(name string) bool { _, ok := s[name]; return ok }
func (s set) add(name string)      { s[name] = struct{}{} }

// hitBy is whom a target and its certificates are.
func hitBy(snapshot *mesh.Snapshot, target revocation.Target, certificates []revocation.Certificate) hit {
	h := hit{pods: set{}, identities: set{}, serials: set{}, fingerprints: set{}}
	switch target.Kind {
	case revocation.ID:
		h.whole = target.Value
	case revocation.ServiceAccount:
		key := keyOf(target.Value)
		h.whole = identity.ServiceAccount{TrustDomain: snapshot.TrustDomain, Namespace: key.Namespace, Name: key.Name}.String()
	case revocation.Pod:
		h.pods.add(target.Value)
		if w := snapshot.Workloads[keyOf(target.Value)]; w != nil {
			h.identities.add(w.Account.String())
		}
	}
	if h.whole != "" {
		h.identities.add(h.whole)
	}
	for _, c := range certificates {
		h.identities.add(c.SPIFFEID)
		h.serials.add(c.Serial)
		h.fingerprints.add(c.Fingerprint)
		if c.Pod != "" {
			h.pods.add(c.Pod)
		}
	}
	return h
}

// workloads are the pods of the mesh that serve or call with what is hit, sorted:
// those that certificates are bound to, those that acknowledged one, those that run
// as an identity that is hit altogether.
func (h hit) workloads(snapshot *mesh.Snapshot, reports []report.Report) []string {
	acknowledged := set{}
	for _, r := range reports {
		if h.serials.has(r.AckedSerial) {
			acknowledged.add(r.Namespace + "/" + r.Pod)
		}
	}
	found := set{}
	for key, w := range snapshot.Workloads {
		if name := key.String(); h.pods.has(name) || acknowledged.has(name) || w.Account.String() == h.whole {
			found.add(name)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// services are the hosts whose endpoints run as a hit identity, sorted.
func (h hit) services(snapshot *mesh.Snapshot) []string {
	var hosts []string
	for host, endpoints := range snapshot.Endpoints {
		for _, id := range endpoints.Accounts {
			if h.identities.has(id.String()) {
				hosts = append(hosts, host)
				break
			}
		}
	}
	slices.Sort(hosts)
	return hosts
}

// calledWithin is how long ago a caller is still worth a warning.
const calledWithin = 24 * time.Hour

// callers are the SPIFFE IDs on the other side of connections with what is hit, sorted.
func (h hit) callers(snapshot *mesh.Snapshot, workloads []string, sightings []report.Sighting, now time.Time) []string {
	found := set{}
	for _, one := range sightings {
		if now.Sub(one.SeenAt) > calledWithin {
			continue
		}
		at := mesh.Key{Namespace: one.Namespace, Name: one.Pod}
		if _, ours := slices.BinarySearch(workloads, at.String()); ours && one.SPIFFEID != "" {
			found.add(one.SPIFFEID)
		}
		if w := snapshot.Workloads[at]; w != nil && h.met(one) {
			found.add(w.Account.String())
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func keyOf(name string) mesh.Key {
	namespace, pod, _ := strings.Cut(name, "/")
	return mesh.Key{Namespace: namespace, Name: pod}
}

// met says whether the peer of a sighting is hit. Where Envoy told no more than the
// peer's identity, one of that identity may be.
func (h hit) met(one report.Sighting) bool {
	if one.Fingerprint == "" && one.Serial == "" {
		return h.identities.has(one.SPIFFEID)
	}
	return h.fingerprints.has(one.Fingerprint) || h.serials.has(one.Serial) || (h.whole != "" && one.SPIFFEID == h.whole)
}
