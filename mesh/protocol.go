package mesh

import "strings"

// protocolOf reads a port's protocol as Istio does: appProtocol first, else the
// prefix of the port's name up to the first "-". What says nothing is TCP.
func protocolOf(appProtocol *string, name string) Protocol {
	if appProtocol != nil {
		name = *appProtocol
		switch name {
		case "kubernetes.io/h2c":
			return HTTP2
		case "kubernetes.io/ws":
			return HTTP
		}
	}
	return parseProtocol(name)
}

// parseProtocol reads "grpc", "http-web" and the like, in any case.
func parseProtocol(name string) Protocol {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "grpc-web") {
		return HTTP2
	}
	prefix, _, _ := strings.Cut(name, "-")
	switch prefix {
	case "http", "http_proxy":
		return HTTP
	case "http2", "grpc":
		return HTTP2
	}
	return TCP
}
