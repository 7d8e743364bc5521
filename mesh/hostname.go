package mesh

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

const clusterDomain = "cluster.local"

var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	hostLabel    = regexp.MustCompile(`^[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// kubeHost is the host name of a Kubernetes service.
func kubeHost(service Key) string {
	return service.Name + "." + service.Namespace + ".svc." + clusterDomain
}

// qualify makes a host fully qualified as Istio does: a name without a dot is a
// service of the object's own namespace; anything else stays.
func qualify(host, namespace string) string {
	if host == "" || strings.ContainsAny(host, ".*:") {
		return strings.ToLower(host)
	}
	return kubeHost(Key{namespace, strings.ToLower(host)})
}

// checkHost says what is wrong with a host name: labels of letters, digits, "-"
// and "_", and one leading "*." where wildcard allows it.
func checkHost(host string, wildcard bool) error {
	rest, isWildcard := strings.CutPrefix(host, "*.")
	switch {
	case host == "":
		return fmt.Errorf("is empty")
	case len(host) > 253:
		return fmt.Errorf("is longer than 253 characters")
	case isWildcard && !wildcard:
		return fmt.Errorf("%q is a wildcard, which is not allowed here", host)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for label := range strings.SplitSeq(rest, ".") {
		if !hostLabel.MatchString(label) {
			return fmt.Errorf("%q is not a DNS name", host)
		}
	}
	return nil
}

// exportTo resolves the namespaces that an object of namespace own is visible
// in: "." is its own, nothing is everywhere, "~" is nowhere.
func exportTo(values []string, own, field string, f *findings) []string {
	out := []string{}
	for i, v := range values {
		switch v = strings.TrimSpace(v); {
		case v == "*" || v == "~":
			out = append(out, v)
		case v == ".":
			out = append(out, own)
		case dnsLabel.MatchString(v):
			out = append(out, v)
		default:
			f.fail(fmt.Sprintf("%s[%d]", field, i), `write a namespace, ".", "*" or "~"`, "%q is not a namespace", v)
		}
	}
	if len(out) == 0 {
		return []string{"*"}
	}
	if slices.Contains(out, "*") {
		return []string{"*"}
	}
	if len(out) > 1 {
		out = slices.DeleteFunc(out, func(v string) bool { return v == "~" })
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// address reads an IP address in its one canonical form.
func address(s string) (string, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || !a.IsValid() || a.IsUnspecified() {
		return "", false
	}
	return a.Unmap().String(), true
}
