package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Op is how a match compares text.
type Op int

// The comparisons that a policy can ask for.
const (
	Exact    Op = iota
	Prefix      // "value*"
	Suffix      // "*value"
	Present     // "*": there is a value, whatever it is
	Contains    // no policy can write it; Compile does, see the package's comment on hosts
)

// Match asks for one value of one attribute.
type Match struct {
	Attribute Attribute
	// Header is the lower-case name of the header, for Header alone.
	Header string
	Op     Op
	// Value is the text without its "*"; a service account's is "NS/SA".
	Value string
	// Net is set for addresses, Port for DestinationPort; Op is Exact for both.
	Net  netip.Prefix
	Port uint32
}

func newMatch(a Attribute, header, value string) (Match, error) {
	m := Match{Attribute: a, Header: header}
	var err error
	switch {
	case value == "":
		err = errors.New("an empty value; remove it or name what is meant")
	case a == DestinationPort:
		m.Port, err = parsePort(value)
	case a.isAddress():
		m.Net, err = parseNet(value)
	case a == SourceServiceAccount:
		m.Value, err = value, checkAccount(value)
	default:
		m.Op, m.Value, err = parseText(a, value)
	}
	return m, err
}

func parsePort(value string) (uint32, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", value)
	}
	return uint32(n), nil
}

func parseNet(value string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a CIDR block", value)
	}
	return prefix.Masked(), nil
}

func checkAccount(value string) error {
	ns, name, ok := strings.Cut(value, "/")
	if !ok || ns == "" || name == "" || strings.ContainsAny(value, "*") || strings.Contains(name, "/") {
		return fmt.Errorf("service account %q is not of the form NAMESPACE/NAME", value)
	}
	return nil
}

// parseText reads "*" in Istio's places. Anything else that looks like a
// pattern would be compared letter by letter and silently match nothing, which
// opens the door in a DENY: it is refused.
func parseText(a Attribute, value string) (Op, string, error) {
	op, text := Exact, value
	switch {
	case value == "*":
		return Present, "", nil
	case strings.HasPrefix(value, "*"):
		op, text = Suffix, value[1:]
	case strings.HasSuffix(value, "*"):
		op, text = Prefix, value[:len(value)-1]
	}
	if a == Path && strings.ContainsAny(text, "{}") {
		return 0, "", fmt.Errorf("path template %q is not supported; write an exact path, a prefix or a suffix", value)
	}
	if strings.Contains(text, "*") {
		return 0, "", fmt.Errorf("%q has a * that is neither its first nor its only last letter", value)
	}
	if a == Host {
		text = strings.ToLower(text)
	}
	return op, text, nil
}

// anyPort are the matches of a host that refuse: the host as it is written, and
// as a client may write the same server, with the root's dot and with a port.
func (m Match) anyPort() []Match {
	all := []Match{m}
	if m.Attribute != Host || m.Op != Exact && m.Op != Suffix {
		return all
	}
	rooted, withPort, rootedWithPort := m, m, m
	rooted.Value += "."
	withPort.Value += ":"
	rootedWithPort.Value += ".:"
	withPort.Op = Prefix
	if m.Op == Suffix {
		withPort.Op = Contains
	}
	rootedWithPort.Op = withPort.Op
	return append(all, rooted, withPort, rootedWithPort)
}
