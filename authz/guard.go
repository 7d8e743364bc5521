package authz

import (
	"maps"
	"slices"
)

// GuardsTCP says whether there is a connection to this port that the policies
// refuse, for who makes it or where it comes from. False: whoever connects to the
// port is let in, so that nothing need be known of a connection before it is
// handed on. It may say true where every caller happens to match, never false
// where one is refused. Port 0 is any that no rule names, see [Ruleset.TCPPorts].
func (r *Ruleset) GuardsTCP(port uint32) bool {
	table, req := r.TCP(), Request{DestinationPort: port}
	if slices.ContainsFunc(table.Deny, func(s Statement) bool { return s.reaches(&req) }) {
		return true
	}
	return table.Restricted && !slices.ContainsFunc(table.Allow, func(s Statement) bool { return s.opens(&req) })
}

// TCPPorts are the ports that rules on TCP name, sorted.
func (r *Ruleset) TCPPorts() []uint32 {
	named := map[uint32]struct{}{}
	table := r.TCP()
	for _, s := range slices.Concat(table.Deny, table.Allow) {
		for _, clause := range slices.Concat(append(slices.Clone(s.To), s.When)...) {
			for _, m := range slices.Concat(clause.Any, clause.None) {
				if m.Attribute == DestinationPort {
					named[m.Port] = struct{}{}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(named))
}

// reaches says whether the statement can match a connection to the port.
func (s *Statement) reaches(to *Request) bool {
	return s.When.reaches(to) && (len(s.To) == 0 || slices.ContainsFunc(s.To, func(c Conjunction) bool { return c.reaches(to) }))
}

func (c Conjunction) reaches(to *Request) bool {
	return !slices.ContainsFunc(c, func(clause Clause) bool {
		return clause.Attribute() == DestinationPort && !clause.matches(to)
	})
}

// opens says whether the statement matches every connection to the port.
func (s *Statement) opens(to *Request) bool {
	return len(s.From) == 0 && s.When.opens(to) && (len(s.To) == 0 || slices.ContainsFunc(s.To, func(c Conjunction) bool { return c.opens(to) }))
}

func (c Conjunction) opens(to *Request) bool {
	return !slices.ContainsFunc(c, func(clause Clause) bool {
		return clause.Attribute() != DestinationPort || !clause.matches(to)
	})
}
