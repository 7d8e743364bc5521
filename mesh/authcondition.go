package mesh

import (
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/ensign-mesh/ensign/authz"
)

const headerKey = "request.headers["

// condition reads one `when`: keep is false when it is dropped, ok is false when
// the rule can never match.
func (c *ruleCompiler) condition(in *security.Condition, field string) (out authz.Condition, keep, ok bool) {
	if len(in.GetValues()) == 0 && len(in.GetNotValues()) == 0 {
		c.f.fail(field, "give values or notValues", "the condition has no values")
	}
	one := c.text
	switch key := in.GetKey(); {
	case key == "source.principal":
		one = c.principal
	case key == "source.ip" || key == "destination.ip":
		one = c.block
	case key == "destination.port":
		one = c.port
	case key == "source.namespace" || key == "connection.sni":
	case strings.HasPrefix(key, headerKey) && strings.HasSuffix(key, "]"):
		if name := key[len(headerKey) : len(key)-1]; !headerName.MatchString(name) {
			c.f.fail(field+".key", "write request.headers[NAME]", "%q is not a header name", name)
		}
	case key == "remote.ip" || key == "source.serviceAccount" || key == "source.trustDomain" ||
		strings.HasPrefix(key, "request.auth.") || strings.HasPrefix(key, "experimental."):
		allowed := c.unsupported(field+".key", "use source.ip, source.namespace, source.principal, destination.ip, destination.port, connection.sni or request.headers[NAME]", key)
		return out, false, allowed
	default:
		c.f.fail(field+".key", "use source.ip, source.namespace, source.principal, destination.ip, destination.port, connection.sni or request.headers[NAME]", "%q is not a known key", key)
	}
	return authz.Condition{
		Key:       in.GetKey(),
		Values:    c.each(in.GetValues(), field+".values", one),
		NotValues: c.each(in.GetNotValues(), field+".notValues", one),
	}, true, true
}
