package authz

import (
	"errors"
	"fmt"
	"strings"
)

// Compile makes the ruleset of the policies that select one workload. The
// ruleset is never nil and always safe to use; the error, if any, joins one
// *Error for each part that could not be read and was made to fail closed.
func Compile(policies []*Policy) (*Ruleset, error) {
	c := compiler{names: map[string]int{}}
	for _, p := range policies {
		c.add(p)
	}
	set := &Ruleset{compiled: true, http: c.table, tcp: c.table.forTCP()}
	return set, errors.Join(c.errs...)
}

func (t Table) forTCP() Table {
	return Table{
		Deny: statementsForTCP(t.Deny, Deny), Allow: statementsForTCP(t.Allow, Allow),
		Restricted: t.Restricted,
	}
}

func statementsForTCP(all []Statement, action Action) []Statement {
	var kept []Statement
	for _, s := range all {
		if s, ok := s.forTCP(action); ok {
			kept = append(kept, s)
		}
	}
	return kept
}

type compiler struct {
	table Table
	names map[string]int
	errs  []error
}

func (c *compiler) add(p *Policy) {
	if p == nil {
		p = &Policy{Name: "(nil)"}
	}
	switch p.Action {
	case Deny:
		for i := range p.Rules {
			c.table.Deny = append(c.table.Deny, c.statement(p, i))
		}
	case Allow:
		c.table.Restricted = true
		for i := range p.Rules {
			before := len(c.errs)
			s := c.statement(p, i)
			if len(c.errs) == before {
				c.table.Allow = append(c.table.Allow, s)
			}
		}
	default:
		c.fail(p, -1, "action", fmt.Errorf("%q is neither ALLOW nor DENY; everything is denied", p.Action))
		c.table.Deny = append(c.table.Deny, Statement{Name: c.name(p, 0), Policy: p, Rule: -1})
	}
}

func (c *compiler) statement(p *Policy, i int) Statement {
	r := reader{compiler: c, policy: p, rule: i}
	s := Statement{Name: c.name(p, i), Policy: p, Rule: i}
	for _, from := range p.Rules[i].From {
		s.From = append(s.From, r.source(from))
	}
	for _, to := range p.Rules[i].To {
		s.To = append(s.To, r.operation(to))
	}
	for _, when := range p.Rules[i].When {
		s.When = append(s.When, r.condition(when)...)
	}
	return s
}

// name keeps names unique: in a proxy's map of policies one would else replace
// the other, and a DENY be lost.
func (c *compiler) name(p *Policy, i int) string {
	name := statementName(p, i)
	c.names[name]++
	if n := c.names[name]; n > 1 {
		return fmt.Sprintf("%s#%d", name, n)
	}
	return name
}

func (c *compiler) fail(p *Policy, rule int, field string, err error) {
	c.errs = append(c.errs, &Error{Namespace: p.Namespace, Name: p.Name, Rule: rule, Field: field, Err: err})
}

// reader reads one rule.
type reader struct {
	*compiler
	policy *Policy
	rule   int
}

func (r reader) source(s Source) Conjunction {
	return r.conjunction("from.source", []list{
		{SourcePrincipal, "", "principals", s.Principals, s.NotPrincipals},
		{SourceNamespace, "", "namespaces", s.Namespaces, s.NotNamespaces},
		{SourceServiceAccount, "", "serviceAccounts", s.ServiceAccounts, s.NotServiceAccounts},
		{SourceIP, "", "ipBlocks", s.IPBlocks, s.NotIPBlocks},
	})
}

func (r reader) operation(o Operation) Conjunction {
	return r.conjunction("to.operation", []list{
		{Host, "", "hosts", o.Hosts, o.NotHosts},
		{DestinationPort, "", "ports", o.Ports, o.NotPorts},
		{Method, "", "methods", o.Methods, o.NotMethods},
		{Path, "", "paths", o.Paths, o.NotPaths},
	})
}

func (r reader) condition(c Condition) Conjunction {
	l := list{values: c.Values, notValues: c.NotValues, field: c.Key}
	switch a := Attribute(c.Key); a {
	case SourcePrincipal, SourceNamespace, SourceServiceAccount, SourceIP, RemoteIP, DestinationIP, DestinationPort, SNI:
		l.attribute = a
	default:
		name, ok := headerName(c.Key)
		if !ok {
			r.fail(r.policy, r.rule, "when", fmt.Errorf("key %q is not supported", c.Key))
			return nil
		}
		l.attribute, l.header = Header, name
	}
	return r.conjunction("when", []list{l})
}

// headerName is the lower-case NAME of "request.headers[NAME]".
func headerName(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, string(Header)+"[")
	name, closed := strings.CutSuffix(rest, "]")
	if !ok || !closed || name == "" || strings.ContainsAny(name, "[] \t\r\n:\x00") {
		return "", false
	}
	return strings.ToLower(name), true
}

// list is one list of values and its "not" list, as the user wrote them.
type list struct {
	attribute         Attribute
	header, field     string
	values, notValues []string
}

func (r reader) conjunction(field string, lists []list) Conjunction {
	var out Conjunction
	said := false
	for _, l := range lists {
		if len(l.values)+len(l.notValues) == 0 {
			continue
		}
		said = true
		deny := r.policy.Action == Deny
		clause := Clause{Any: r.matches(field, l, l.values, deny), None: r.matches(field, l, l.notValues, !deny)}
		if len(clause.Any)+len(clause.None) > 0 {
			out = append(out, clause)
		}
	}
	if !said {
		r.fail(r.policy, r.rule, field, errors.New("is empty; name what it should match"))
	}
	return out
}

// matches reads a list; if one value is bad the whole list is dropped. In a
// DENY that matches more, in an ALLOW the rule goes anyway. What matches is
// refused, or not: refusing.
func (r reader) matches(field string, l list, values []string, refusing bool) []Match {
	var out []Match
	bad := false
	for _, v := range values {
		m, err := newMatch(l.attribute, l.header, v)
		if err != nil {
			r.fail(r.policy, r.rule, field+"."+l.field, err)
			bad = true
		}
		if refusing {
			out = append(out, m.anyPort()...)
		} else {
			out = append(out, m)
		}
	}
	if bad {
		return nil
	}
	return out
}
