package revocation

import (
	"cmp"
	"slices"
)

// Proxy is what is known of one place where lists are enforced: every proxy that is
// connected, or whose pod is in the mesh and has a live SVID.
type Proxy struct {
	// Name is NAMESPACE/POD.
	Name     string
	SPIFFEID string
	// Connected: it has a stream now.
	Connected bool
	// Agent: one of ours is beside it, and reports.
	Agent bool
	// DenyAcked: it has acknowledged the newest denials.
	DenyAcked bool
	// Revision and CRLRevision are what its agent obeys, of [List] and [Set].
	Revision, CRLRevision uint64
	// Method is how its agent ends connections: "pidfd", "sock_destroy", "drain" or "none".
	Method string
	// Open connections are to end and have not yet.
	Open uint32
	// Error is what its agent could not do.
	Error string
}

// Status is how far the mesh obeys a list.
type Status struct {
	// Revision of the list.
	Revision uint64
	// Proxies are all; the others count those that obey by one mechanism.
	Proxies, DenyAcked, CRLAcked, CutAcked int
	// Open connections that are to end, everywhere.
	Open int
	// Laggards have not obeyed yet, by name.
	Laggards []Laggard
	// Unverifiable proxies have no agent, or their agent no Envoy, so that nobody knows of their connections; they
	// obey the denials, and the servers that they call refuse them. By name.
	Unverifiable []string
	// Done: nobody lags.
	Done bool
}

// Laggard is a proxy that has not obeyed yet.
type Laggard struct {
	Name string
	// Missing are the mechanisms and what they wait for, e.g. "deny: not acknowledged".
	Missing   []string
	Connected bool
	Open      uint32
}

// Progress says how far the proxies obey a list and its CRLs. It is pure. What a proxy
// is not able to do is not waited for; that no CRL can be in force (see [Set].Problem)
// is no laggard's fault.
func Progress(list *List, set *Set, proxies []Proxy) Status {
	s := Status{Revision: list.Revision, Proxies: len(proxies)}
	for _, p := range slices.SortedFunc(slices.Values(proxies), func(a, b Proxy) int { return cmp.Compare(a.Name, b.Name) }) {
		deny, crl, cut := Mechanisms(list, set, p)
		lag := Laggard{Name: p.Name, Connected: p.Connected, Open: p.Open}
		for _, m := range []struct {
			name  string
			is    Mechanism
			count *int
		}{{"deny", deny, &s.DenyAcked}, {"crl", crl, &s.CRLAcked}, {"cut", cut, &s.CutAcked}} {
			switch m.is.State {
			case Obeys:
				*m.count++
			case Waiting:
				lag.Missing = append(lag.Missing, m.name+": "+m.is.Detail)
			}
		}
		if s.Open += int(p.Open); len(lag.Missing) > 0 {
			s.Laggards = append(s.Laggards, lag)
		}
		if !p.reports() {
			s.Unverifiable = append(s.Unverifiable, p.Name)
		}
	}
	s.Done = len(s.Laggards) == 0
	return s
}
