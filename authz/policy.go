package authz

// Action is what a policy does with the requests that it matches.
type Action string

// Actions, in the order in which they are decided.
const (
	Deny  Action = "DENY"
	Allow Action = "ALLOW"
)

// Policy is one AuthorizationPolicy after its selector is resolved: the mesh
// hands each workload the policies that select it.
type Policy struct {
	Namespace string
	Name      string
	Action    Action
	// Rules are or-ed. No rules: the policy matches nothing, so that an ALLOW
	// without rules denies everything and a DENY without rules denies nothing,
	// as in Istio.
	Rules []Rule
}

// Rule matches a request when one of From, one of To and all of When match.
// An empty list of From or To matches every source or operation.
type Rule struct {
	From []Source
	To   []Operation
	When []Condition
}

// Source matches when each non-empty list has one value that matches and no
// value of its Not list does. Values are Istio's: exact, "prefix*", "*suffix",
// or "*" (present). Principals have no scheme: "TD/ns/NS/sa/SA".
type Source struct {
	Principals, NotPrincipals           []string
	Namespaces, NotNamespaces           []string
	ServiceAccounts, NotServiceAccounts []string // "NS/SA", exact
	IPBlocks, NotIPBlocks               []string // CIDR or address of the peer
}

// Operation matches like Source. Ports are decimal and exact; Methods, Paths
// and Hosts exist for HTTP only.
type Operation struct {
	Hosts, NotHosts     []string
	Ports, NotPorts     []string
	Methods, NotMethods []string
	Paths, NotPaths     []string
}

// Condition is one attribute of `when`: source.ip, source.namespace,
// source.principal, destination.ip, destination.port, connection.sni or request.headers[NAME].
type Condition struct {
	Key               string
	Values, NotValues []string
}
