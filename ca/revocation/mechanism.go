package revocation

import "fmt"

// Mechanism is one of the ways in which a proxy keeps somebody out, and how far it goes.
type Mechanism struct {
	State MechanismState
	// Detail is for people.
	Detail string
}

// MechanismState is a stable word of the API.
type MechanismState string

// The states.
const (
	Obeys   MechanismState = "OBEYS"   // the newest state is in force there
	Waiting MechanismState = "WAITING" // it was told, or is away, and has not acknowledged
	Unable  MechanismState = "UNABLE"  // it can't, or nothing can be in force
)

// Mechanisms says how far one proxy obeys a list and its CRLs: by denying requests and
// new connections, by refusing certificates in the handshake, and by ending
// connections. It is pure.
func Mechanisms(list *List, set *Set, p Proxy) (deny, crl, cut Mechanism) {
	return p.deny(), p.crl(list, set), p.cut(list)
}

func (p Proxy) deny() Mechanism {
	switch {
	case p.DenyAcked && p.Connected:
		return Mechanism{Obeys, "acknowledged"}
	case !p.Connected:
		return Mechanism{Waiting, "not connected"}
	}
	return Mechanism{Waiting, "not acknowledged"}
}

func (p Proxy) crl(list *List, set *Set) Mechanism {
	switch {
	case !p.reports():
		return Mechanism{Unable, "no agent with an Envoy: takes no CRL"}
	case p.CRLRevision < set.Revision:
		return Mechanism{Waiting, p.why(fmt.Sprintf("has set %d of %d", p.CRLRevision, set.Revision))}
	case set.For < list.Revision:
		return Mechanism{Waiting, "CRLs of the newest act are not made yet"}
	case set.Problem != "" && len(set.CRLs) == 0 && len(list.Issuers) == 0:
		return Mechanism{Unable, "no CRL is in force: " + set.Problem}
	case set.Problem != "":
		// Against a revoked issuer, whose leaves nobody knows, nothing else helps.
		return Mechanism{Waiting, set.Problem}
	case len(set.CRLs) == 0:
		return Mechanism{Obeys, "no CRL is needed"}
	}
	return Mechanism{Obeys, fmt.Sprintf("%d CRLs", len(set.CRLs))}
}

func (p Proxy) cut(list *List) Mechanism {
	switch {
	case !p.reports():
		return Mechanism{Unable, "no agent with an Envoy: connections end at their other side only"}
	case p.Revision < list.Revision:
		return Mechanism{Waiting, p.why(fmt.Sprintf("obeys revision %d of %d", p.Revision, list.Revision))}
	case p.Open > 0:
		return Mechanism{Waiting, p.why(fmt.Sprintf("%d connections still open", p.Open))}
	}
	return Mechanism{Obeys, p.Method}
}

// reports says whether somebody tells of the proxy's certificates and connections.
func (p Proxy) reports() bool { return p.Agent && p.Method != "none" }

// why adds what keeps an agent from obeying.
func (p Proxy) why(waits string) string {
	switch {
	case p.Error != "":
		return waits + ": " + p.Error
	case !p.Connected:
		return waits + ": not connected"
	}
	return waits
}
