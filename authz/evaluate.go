package authz

import "strings"

// Evaluate decides on one request.
func (r *Ruleset) Evaluate(req Request) Verdict {
	table := r.TCP()
	if req.HTTP {
		table = r.HTTP()
	}
	if s := find(table.Deny, &req); s != nil {
		return s.verdict(false)
	}
	if !table.Restricted {
		return Verdict{Allowed: true, Rule: -1}
	}
	if s := find(table.Allow, &req); s != nil {
		return s.verdict(true)
	}
	return Verdict{Rule: -1}
}

func (s *Statement) verdict(allowed bool) Verdict {
	return Verdict{Allowed: allowed, Policy: s.Policy.Namespace + "/" + s.Policy.Name, Rule: s.Rule}
}

func find(statements []Statement, req *Request) *Statement {
	for i := range statements {
		if statements[i].matches(req) {
			return &statements[i]
		}
	}
	return nil
}

func (s *Statement) matches(req *Request) bool {
	return anyMatches(s.From, req) && anyMatches(s.To, req) && s.When.matches(req)
}

func anyMatches(all []Conjunction, req *Request) bool {
	for _, c := range all {
		if c.matches(req) {
			return true
		}
	}
	return len(all) == 0
}

func (c Conjunction) matches(req *Request) bool {
	for _, clause := range c {
		if !clause.matches(req) {
			return false
		}
	}
	return true
}

func (c Clause) matches(req *Request) bool {
	return (len(c.Any) == 0 || anyMatch(c.Any, req)) && !anyMatch(c.None, req)
}

func anyMatch(all []Match, req *Request) bool {
	for _, m := range all {
		if m.matches(req) {
			return true
		}
	}
	return false
}

func (m Match) matches(req *Request) bool {
	switch {
	case m.Attribute == DestinationPort:
		return m.Port == req.DestinationPort
	case m.Attribute.isAddress():
		return m.Net.Contains(req.address(m.Attribute))
	}
	value, ok := req.text(m)
	if !ok {
		return false
	}
	switch m.Op {
	case Exact:
		return value == m.Value
	case Prefix:
		return strings.HasPrefix(value, m.Value)
	case Suffix:
		return strings.HasSuffix(value, m.Value)
	case Contains:
		return strings.Contains(value, m.Value)
	}
	return true
}
