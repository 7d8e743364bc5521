package daemon

import (
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// orders is what agents are told of who is cut off: the list, the CRLs, and of
// each pod the ports on which a connection may say nothing. It implements
// agents.Orders.
type orders struct {
	mu       sync.Mutex
	snapshot *mesh.Snapshot
	order    *ensignv1.CutOff // without ports
	// byPorts are the orders that were made of order, so that pods with the same ports
	// get the same message; silent are the ports of the snapshot's inbound sides.
	byPorts map[string]*ensignv1.CutOff
	silent  map[*mesh.Inbound][]uint32
	changed chan struct{}
}

func newOrders(list *revocation.List, set *revocation.Set) *orders {
	o := &orders{changed: make(chan struct{})}
	o.tell(list, set)
	return o
}

// tell makes a list and a set of CRLs what is told from now on.
func (o *orders) tell(list *revocation.List, set *revocation.Set) {
	order := orderOf(list, set)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.order, o.byPorts = order, map[string]*ensignv1.CutOff{}
	o.wake()
}

// see makes a snapshot the one whose ports are told.
func (o *orders) see(snapshot *mesh.Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.snapshot != snapshot {
		o.snapshot, o.silent = snapshot, map[*mesh.Inbound][]uint32{}
		o.wake()
	}
}

// wake calls everybody who waits to look; mu is held.
func (o *orders) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// For implements agents.Orders.
func (o *orders) For(pod string) (*ensignv1.CutOff, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ports := o.silentPorts(pod)
	key := fmt.Sprint(ports)
	order := o.byPorts[key]
	if order == nil {
		order = &ensignv1.CutOff{
			Revision: o.order.Revision, Certificates: o.order.Certificates, Identities: o.order.Identities, Issuers: o.order.Issuers,
			Crls: o.order.Crls, CrlRevision: o.order.CrlRevision, SilentPorts: ports,
		}
		o.byPorts[key] = order
	}
	return order, o.changed
}

// silentPorts are those of a pod of the mesh.
func (o *orders) silentPorts(pod string) []uint32 {
	if o.snapshot == nil {
		return nil
	}
	namespace, name, _ := strings.Cut(pod, "/")
	w := o.snapshot.Workloads[mesh.Key{Namespace: namespace, Name: name}]
	if w == nil {
		return nil
	}
	ports, known := o.silent[w.Inbound]
	if !known {
		ports = build.SilentPorts(w.Inbound)
		o.silent[w.Inbound] = ports
	}
	return ports
}

// orderOf is what an agent must know of a list and a set of CRLs. A certificate whose
// identity or issuer is named as a whole is not named again.
func orderOf(list *revocation.List, set *revocation.Set) *ensignv1.CutOff {
	order := &ensignv1.CutOff{Revision: list.Revision, Identities: list.Identities, Crls: set.CRLs, CrlRevision: set.Revision}
	revoked := map[string]bool{}
	for _, issuer := range list.Issuers {
		revoked[issuer.Serial] = true
		order.Issuers = append(order.Issuers, &ensignv1.CutIssuer{Serial: issuer.Serial, Subject: issuer.Subject})
	}
	for _, c := range list.Certificates {
		if c.Quarantined || revoked[c.IssuerSerial] {
			continue
		}
		order.Certificates = append(order.Certificates, &ensignv1.CutCertificate{
			Fingerprint: c.Fingerprint, Serial: c.Serial, SpiffeId: c.SPIFFEID, IssuerSerial: c.IssuerSerial, IssuerSubject: c.IssuerSubject,
			NotBefore: timestamppb.New(c.NotBefore), NotAfter: timestamppb.New(c.NotAfter),
		})
	}
	return order
}
