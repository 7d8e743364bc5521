package authz

import "fmt"

// Ruleset is a workload's policies, compiled. Make it with [Compile]; the zero
// value and nil deny everything.
type Ruleset struct {
	compiled  bool
	http, tcp Table
}

// Table is what is decided on one kind of traffic.
type Table struct {
	Deny, Allow []Statement
	// Restricted: there is an ALLOW policy, so what none of Allow matches is denied.
	Restricted bool
}

// denyAll is the table of a ruleset that was never compiled.
func denyAll() Table { return Table{Restricted: true} }

// HTTP is the table for requests.
func (r *Ruleset) HTTP() Table {
	if r == nil || !r.compiled {
		return denyAll()
	}
	return r.http
}

// TCP is the table for connections whose bytes are not read: ALLOW rules that
// ask for attributes of HTTP are gone, DENY rules ask for all else.
func (r *Ruleset) TCP() Table {
	if r == nil || !r.compiled {
		return denyAll()
	}
	return r.tcp
}

// Statement is one rule of one policy. It matches when one of From, one of To
// and all of When match; an empty From or To matches everything.
type Statement struct {
	// Name is unique in its ruleset: ns[NAMESPACE]-policy[NAME]-rule[INDEX], as Istio's.
	Name     string
	Policy   *Policy
	Rule     int
	From, To []Conjunction
	When     Conjunction
}

// Conjunction matches when all of its clauses do.
type Conjunction []Clause

// Clause matches when one of Any does (or Any is empty) and none of None does.
// All matches of a clause are of one attribute.
type Clause struct {
	Any, None []Match
}

// Attribute is the one that the clause asks for.
func (c Clause) Attribute() Attribute {
	if len(c.Any) > 0 {
		return c.Any[0].Attribute
	}
	return c.None[0].Attribute
}

// forTCP is the statement on a plain connection; false if it can never match there.
func (s Statement) forTCP(action Action) (Statement, bool) {
	from, okFrom := conjunctionsForTCP(s.From, action)
	to, okTo := conjunctionsForTCP(s.To, action)
	when, okWhen := s.When.forTCP(action)
	s.From, s.To, s.When = from, to, when
	return s, okFrom && okTo && okWhen
}

// conjunctionsForTCP: one that asks for HTTP takes the whole rule of an ALLOW
// with it, as in Istio. One that becomes empty in a DENY matches everything.
func conjunctionsForTCP(all []Conjunction, action Action) ([]Conjunction, bool) {
	var kept []Conjunction
	for _, c := range all {
		c, ok := c.forTCP(action)
		if !ok {
			return nil, false
		}
		kept = append(kept, c)
	}
	return kept, true
}

func (c Conjunction) forTCP(action Action) (Conjunction, bool) {
	var kept Conjunction
	for _, clause := range c {
		if !clause.Attribute().HTTPOnly() {
			kept = append(kept, clause)
		} else if action != Deny {
			return nil, false
		}
	}
	return kept, true
}

func statementName(p *Policy, rule int) string {
	return fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", p.Namespace, p.Name, rule)
}
