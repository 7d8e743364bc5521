package admin

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// ListProxies joins what is connected with what agents last reported, so that a
// proxy that is away is still seen. A report of a pod that is gone from the mesh
// and not connected is left out.
func (s *Service) ListProxies(ctx context.Context, _ *ensignv1.ListProxiesRequest) (*ensignv1.ListProxiesResponse, error) {
	if _, err := s.authorize(ctx); err != nil {
		return nil, err
	}
	reports, err := s.config.Reports.All(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	byName := map[string]*ensignv1.Proxy{}
	for _, p := range s.config.Proxies.Proxies() {
		byName[p.Name] = proxyOf(p)
	}
	for _, r := range reports {
		name := r.Namespace + "/" + r.Pod
		p := byName[name]
		if p == nil {
			if !s.inMesh(r) {
				continue
			}
			p = &ensignv1.Proxy{Name: name, SpiffeId: r.SPIFFEID, NodeId: r.NodeID, EnvoyVersion: r.EnvoyVersion}
			byName[name] = p
		}
		p.Report, p.ReportedAt = reportOf(r), timestamppb.New(r.ReceivedAt)
	}
	if err := s.addMechanisms(ctx, byName); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	answer := &ensignv1.ListProxiesResponse{Holds: holdsOf(s.config.Proxies.Holds())}
	for _, p := range byName {
		answer.Proxies = append(answer.Proxies, p)
	}
	slices.SortFunc(answer.Proxies, func(a, b *ensignv1.Proxy) int { return strings.Compare(a.Name, b.Name) })
	return answer, nil
}

// addMechanisms says of each place where lists are enforced how far it obeys. A proxy
// that is none, because it is away and its SVID has ended, gets no mechanisms.
func (s *Service) addMechanisms(ctx context.Context, byName map[string]*ensignv1.Proxy) error {
	list, _ := s.config.Register.Current()
	set, _ := s.config.CRLs.Current()
	proxies, _, err := s.config.Population.Obeying(ctx, list)
	if err != nil {
		return err
	}
	for _, p := range proxies {
		proxy := byName[p.Name]
		if proxy == nil {
			proxy = &ensignv1.Proxy{Name: p.Name, SpiffeId: p.SPIFFEID}
			byName[p.Name] = proxy
		}
		proxy.Mechanisms = mechanismsOf(list, set, p)
	}
	return nil
}

func mechanismsOf(list *revocation.List, set *revocation.Set, p revocation.Proxy) *ensignv1.Mechanisms {
	of := func(m revocation.Mechanism) *ensignv1.Mechanism {
		return &ensignv1.Mechanism{State: string(m.State), Detail: m.Detail}
	}
	deny, crl, cut := revocation.Mechanisms(list, set, p)
	return &ensignv1.Mechanisms{Deny: of(deny), Crl: of(crl), Cut: of(cut), CutMethod: p.Method, OpenConnections: p.Open}
}

func (s *Service) inMesh(r report.Report) bool {
	snapshot := s.config.Mesh()
	return snapshot != nil && snapshot.Workloads[mesh.Key{Namespace: r.Namespace, Name: r.Pod}] != nil
}

// ReleaseHold sends held-back content all the same.
func (s *Service) ReleaseHold(ctx context.Context, r *ensignv1.ReleaseHoldRequest) (*ensignv1.ReleaseHoldResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	held := slices.ContainsFunc(s.config.Proxies.Holds(), func(h xds.Hold) bool { return h.Resource == r.Resource })
	if !held {
		return nil, status.Errorf(codes.NotFound, "nothing named %q is held back: see `ensign proxy status`", r.Resource)
	}
	if err := s.record(ctx, actor, "release", r.Resource, ""); err != nil {
		return nil, err
	}
	return &ensignv1.ReleaseHoldResponse{Released: holdsOf(s.config.Proxies.Release(r.Resource))}, nil
}

func proxyOf(p xds.ProxyStatus) *ensignv1.Proxy {
	proxy := &ensignv1.Proxy{
		Name: p.Name, SpiffeId: p.SPIFFEID, NodeId: p.NodeID, EnvoyVersion: p.EnvoyVersion,
		Connected: true, ConnectedAt: timestamppb.New(p.ConnectedAt),
	}
	for _, t := range p.Types {
		entry := &ensignv1.TypeStatus{TypeUrl: t.TypeURL, State: string(t.State), Resources: uint32(t.Resources)}
		if !t.AckedAt.IsZero() {
			entry.AckedAt = timestamppb.New(t.AckedAt)
		}
		for _, r := range t.Rejections {
			entry.Rejections = append(entry.Rejections, &ensignv1.Rejection{
				Resource: r.Resource, Version: r.Version, Error: r.Error, Origins: originsOf(r.Origins),
			})
		}
		proxy.Types = append(proxy.Types, entry)
	}
	return proxy
}

func holdsOf(holds []xds.Hold) []*ensignv1.Hold {
	list := make([]*ensignv1.Hold, 0, len(holds))
	for _, h := range holds {
		list = append(list, &ensignv1.Hold{
			EnvoyVersion: h.EnvoyVersion, TypeUrl: h.TypeURL, Resource: h.Resource, Version: h.Version,
			RefusedBy: h.RefusedBy, Error: h.Error, Origins: originsOf(h.Origins), Since: timestamppb.New(h.Since),
		})
	}
	return list
}

// originsOf says which objects of the user's are meant, and where they stand.
func originsOf(refs []mesh.Ref) []string {
	list := make([]string, 0, len(refs))
	for _, ref := range refs {
		text := ref.String()
		if ref.Where != "" {
			text += " (" + ref.Where + ")"
		}
		list = append(list, text)
	}
	return list
}

func reportOf(r report.Report) *ensignv1.Report {
	out := &ensignv1.Report{
		Sequence: r.Sequence, NodeId: r.NodeID, ServedFingerprints: r.ServedFingerprints,
		EnvoyVersion: r.EnvoyVersion, Clock: timestamppb.New(r.AgentClock), SecretError: r.SecretError, TrustSequence: r.TrustSequence,
	}
	if r.AckedSerial != "" {
		out.Acknowledged = &ensignv1.SecretState{
			Serial: r.AckedSerial, Fingerprint: r.AckedFingerprint, Bundle: r.AckedBundle, AcknowledgedAt: timestamppb.New(r.AckedAt),
		}
	}
	return out
}
