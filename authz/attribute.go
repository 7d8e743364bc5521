package authz

// Attribute is one property of a request that a rule can ask about.
type Attribute string

// Attributes, by the names that Istio's conditions use where there is one.
const (
	SourcePrincipal      Attribute = "source.principal"
	SourceNamespace      Attribute = "source.namespace"
	SourceServiceAccount Attribute = "source.serviceAccount"
	SourceIP             Attribute = "source.ip"
	RemoteIP             Attribute = "remote.ip"
	DestinationIP        Attribute = "destination.ip"
	DestinationPort      Attribute = "destination.port"
	SNI                  Attribute = "connection.sni"
	Host                 Attribute = "host"
	Method               Attribute = "method"
	Path                 Attribute = "path"
	Header               Attribute = "request.headers"
)

// OfSource says whether the attribute is of the caller rather than of the call.
func (a Attribute) OfSource() bool {
	switch a {
	case SourcePrincipal, SourceNamespace, SourceServiceAccount, SourceIP, RemoteIP:
		return true
	}
	return false
}

// HTTPOnly says whether the attribute does not exist on a plain TCP connection.
func (a Attribute) HTTPOnly() bool {
	switch a {
	case Host, Method, Path, Header:
		return true
	}
	return false
}

func (a Attribute) isAddress() bool {
	return a == SourceIP || a == RemoteIP || a == DestinationIP
}
