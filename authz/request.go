package authz

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Request is one HTTP request, or one TCP connection.
type Request struct {
	// HTTP: the fields below Host exist. False: a TCP connection.
	HTTP bool
	// Peer is the identity that the caller's certificate has proven; zero if it
	// showed none.
	Peer spiffeid.ID
	// SourceIP is the connection's; RemoteIP the one that trusted proxies say it
	// came from, usually the same.
	SourceIP, RemoteIP, DestinationIP netip.Addr
	DestinationPort                   uint32
	SNI                               string

	Host, Method string
	// Path may carry a query; it is not compared.
	Path string
	// Headers by lower-case name; several values are joined with a comma.
	Headers map[string]string
}

// Verdict is what was decided and by which rule.
type Verdict struct {
	Allowed bool
	// Policy is NAMESPACE/NAME of the policy that decided, "" when none matched:
	// then the request was allowed for want of an ALLOW policy, or denied because
	// none of them matched.
	Policy string
	// Rule is the index of its rule; -1 when Policy is "".
	Rule int
}

// String says it in a line.
func (v Verdict) String() string {
	switch {
	case v.Policy == "" && v.Allowed:
		return "allowed: no ALLOW policy selects the workload"
	case v.Policy == "":
		return "denied: no ALLOW policy matched"
	case v.Allowed:
		return fmt.Sprintf("allowed by %s, rule %d", v.Policy, v.Rule)
	}
	return fmt.Sprintf("denied by %s, rule %d", v.Policy, v.Rule)
}

// text is a textual attribute's value; false when the request has none.
func (r *Request) text(m Match) (string, bool) {
	var value string
	switch m.Attribute {
	case SourcePrincipal:
		value = strings.TrimPrefix(r.Peer.String(), "spiffe://")
	case SourceNamespace:
		value, _ = r.account()
	case SourceServiceAccount:
		if ns, name := r.account(); ns != "" {
			value = ns + "/" + name
		}
	case SNI:
		value = r.SNI
	case Host:
		value = strings.ToLower(r.Host)
	case Method:
		value = r.Method
	case Path:
		value, _, _ = strings.Cut(r.Path, "#")
		value, _, _ = strings.Cut(value, "?")
	case Header:
		value, ok := r.Headers[m.Header]
		return value, ok
	}
	return value, value != ""
}

// account is the namespace and name in the peer's ID, "" where it has none.
func (r *Request) account() (namespace, name string) {
	parts := strings.Split(r.Peer.Path(), "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return "", ""
	}
	return parts[2], parts[4]
}

func (r *Request) address(a Attribute) netip.Addr {
	switch a {
	case SourceIP:
		return r.SourceIP.Unmap()
	case RemoteIP:
		return r.RemoteIP.Unmap()
	}
	return r.DestinationIP.Unmap()
}
