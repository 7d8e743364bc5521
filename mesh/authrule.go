package mesh

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	security "istio.io/api/security/v1beta1"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/identity"
)

// ruleCompiler turns the rules of one policy into authz rules. What it can't
// enforce never opens anything: in an ALLOW policy the part that needs it never
// matches, in any other the demand is dropped, so that more matches.
type ruleCompiler struct {
	f         *findings
	allow     bool
	local     string // the trust domain's name
	namespace string
}

func compileRules(local, namespace string, in *security.AuthorizationPolicy, f *findings) []authz.Rule {
	c := &ruleCompiler{f: f, allow: in.GetAction() == security.AuthorizationPolicy_ALLOW, local: local, namespace: namespace}
	var out []authz.Rule
	for i, r := range in.GetRules() {
		if rule, ok := c.rule(r, fmt.Sprintf("spec.rules[%d]", i)); ok {
			out = append(out, rule)
		}
	}
	return out
}

// rule is false when the rule can never match.
func (c *ruleCompiler) rule(in *security.Rule, field string) (authz.Rule, bool) {
	var out authz.Rule
	for i, from := range in.GetFrom() {
		if s, ok := c.source(from.GetSource(), fmt.Sprintf("%s.from[%d].source", field, i)); ok {
			out.From = append(out.From, s)
		}
	}
	for i, to := range in.GetTo() {
		if o, ok := c.operation(to.GetOperation(), fmt.Sprintf("%s.to[%d].operation", field, i)); ok {
			out.To = append(out.To, o)
		}
	}
	if len(in.GetFrom()) > 0 && len(out.From) == 0 || len(in.GetTo()) > 0 && len(out.To) == 0 {
		return out, false
	}
	// An entry of which no demand is left matches everything: so does the list.
	if slices.ContainsFunc(out.From, func(s authz.Source) bool { return reflect.ValueOf(s).IsZero() }) {
		out.From = nil
	}
	if slices.ContainsFunc(out.To, func(o authz.Operation) bool { return reflect.ValueOf(o).IsZero() }) {
		out.To = nil
	}
	for i, when := range in.GetWhen() {
		cond, keep, ok := c.condition(when, fmt.Sprintf("%s.when[%d]", field, i))
		if !ok {
			return out, false
		}
		if keep {
			out.When = append(out.When, cond)
		}
	}
	return out, true
}

func (c *ruleCompiler) source(in *security.Source, field string) (authz.Source, bool) {
	if !c.hasFields(in, field) {
		return authz.Source{}, false
	}
	out := authz.Source{
		Principals:         c.each(in.GetPrincipals(), field+".principals", c.principal),
		NotPrincipals:      c.each(in.GetNotPrincipals(), field+".notPrincipals", c.principal),
		Namespaces:         c.each(in.GetNamespaces(), field+".namespaces", c.text),
		NotNamespaces:      c.each(in.GetNotNamespaces(), field+".notNamespaces", c.text),
		ServiceAccounts:    c.each(in.GetServiceAccounts(), field+".serviceAccounts", c.account),
		NotServiceAccounts: c.each(in.GetNotServiceAccounts(), field+".notServiceAccounts", c.account),
		IPBlocks:           c.each(in.GetIpBlocks(), field+".ipBlocks", c.block),
		NotIPBlocks:        c.each(in.GetNotIpBlocks(), field+".notIpBlocks", c.block),
	}
	ok := c.supported(in, field, "principals", "notPrincipals", "namespaces", "notNamespaces",
		"serviceAccounts", "notServiceAccounts", "ipBlocks", "notIpBlocks")
	return out, ok
}

func (c *ruleCompiler) operation(in *security.Operation, field string) (authz.Operation, bool) {
	if !c.hasFields(in, field) {
		return authz.Operation{}, false
	}
	out := authz.Operation{
		Hosts:      c.each(in.GetHosts(), field+".hosts", c.text),
		NotHosts:   c.each(in.GetNotHosts(), field+".notHosts", c.text),
		Ports:      c.each(in.GetPorts(), field+".ports", c.port),
		NotPorts:   c.each(in.GetNotPorts(), field+".notPorts", c.port),
		Methods:    c.each(in.GetMethods(), field+".methods", c.text),
		NotMethods: c.each(in.GetNotMethods(), field+".notMethods", c.text),
	}
	var ok, notOK bool
	out.Paths, ok = c.paths(in.GetPaths(), field+".paths")
	out.NotPaths, notOK = c.paths(in.GetNotPaths(), field+".notPaths")
	return out, ok && notOK && c.supported(in, field, "hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths")
}

// paths refuses Istio's path templates, which authz does not know.
func (c *ruleCompiler) paths(in []string, field string) ([]string, bool) {
	out := c.each(in, field, c.text)
	if i := slices.IndexFunc(in, func(p string) bool { return strings.Contains(p, "{*}") || strings.Contains(p, "{**}") }); i >= 0 {
		return nil, c.unsupported(fmt.Sprintf("%s[%d]", field, i), `write an exact path, "/prefix*" or "*suffix"`, "path templates")
	}
	return out, true
}

// hasFields refuses a source or operation that demands nothing: it would match
// everything by an oversight.
func (c *ruleCompiler) hasFields(in proto.Message, field string) bool {
	m := in.ProtoReflect()
	has := false
	if m.IsValid() {
		m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { has = true; return false })
	}
	if !has {
		c.f.fail(field, "name at least one value, or remove the entry", "nothing is demanded")
	}
	return has
}

// supported is false when the message demands something outside known and the
// policy allows: that part never matches.
func (c *ruleCompiler) supported(in proto.Message, field string, known ...string) bool {
	ok := true
	in.ProtoReflect().Range(func(d protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(known, d.JSONName()) {
			ok = c.unsupported(field+"."+d.JSONName(), "use one of "+strings.Join(known, ", "), d.JSONName()) && ok
		}
		return true
	})
	return ok
}

// unsupported notes it and says whether the part may still match.
func (c *ruleCompiler) unsupported(field, fix, what string) bool {
	if c.allow {
		c.f.note(field, fix, "%s can't be enforced: this part of the rule allows nothing", what)
		return false
	}
	c.f.note(field, fix, "%s can't be enforced: the rule denies without regard to it", what)
	return true
}

func (c *ruleCompiler) each(in []string, field string, one func(v, field string) string) []string {
	var out []string
	for i, v := range in {
		out = append(out, one(v, fmt.Sprintf("%s[%d]", field, i)))
	}
	return out
}

func (c *ruleCompiler) text(v, field string) string {
	if v == "" {
		c.f.fail(field, `write a value, or "*" for any`, "the value is empty")
	}
	return v
}

// principal reads TD/ns/NS/sa/SA, "prefix*", "*suffix" or "*". As in Istio,
// cluster.local stands for the mesh's own trust domain.
func (c *ruleCompiler) principal(v, field string) string {
	const fix = "write TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT, PREFIX*, *SUFFIX or *"
	if rest, ok := strings.CutPrefix(v, "cluster.local/"); ok {
		v = c.local + "/" + rest
	}
	switch {
	case v == "":
		c.f.fail(field, fix, "the principal is empty")
	case strings.HasPrefix(v, "spiffe://"):
		c.f.fail(field, "write "+strings.TrimPrefix(v, "spiffe://"), "a principal is written without spiffe://")
	case strings.HasPrefix(v, "*") || strings.HasSuffix(v, "*"):
	default:
		id, err := spiffeid.FromString("spiffe://" + v)
		if err == nil {
			_, err = identity.AccountFromID(id)
		}
		if err != nil {
			c.f.fail(field, fix, "%q is not a principal", v)
		}
	}
	return v
}

// account reads NS/SA, or SA of the policy's namespace.
func (c *ruleCompiler) account(v, field string) string {
	namespace, name, ok := strings.Cut(v, "/")
	if !ok {
		namespace, name = c.namespace, v
	}
	if !dnsLabel.MatchString(namespace) || !dnsSubdomain.MatchString(name) {
		c.f.fail(field, "write NAMESPACE/SERVICE-ACCOUNT", "%q is not a service account", v)
	}
	return namespace + "/" + name
}

func (c *ruleCompiler) block(v, field string) string {
	if _, err := netip.ParsePrefix(v); err == nil {
		return v
	}
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		return v
	}
	c.f.fail(field, "write an address or a block such as 10.1.0.0/16", "%q is neither", v)
	return v
}

func (c *ruleCompiler) port(v, field string) string {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
		c.f.fail(field, "write a port from 1 to 65535", "%q is not a port", v)
	}
	return v
}
