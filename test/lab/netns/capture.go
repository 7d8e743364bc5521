package netns

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Ports that captured traffic is sent to.
const (
	OutboundPort = 15001
	InboundPort  = 15006
)

// rules are Istio's, in the order and the form in which iptables-save lists
// them: what arrives goes to 15006, what an app sends to 15001; what the proxy
// sends leaves as it is, except to its own pod.
var rules = []string{
	"-A PREROUTING -p tcp --dport 22 -j RETURN",
	"-A PREROUTING -p tcp --dport 15020 -j RETURN",
	"-A PREROUTING -p tcp --dport 15021 -j RETURN",
	"-A PREROUTING -p tcp --dport 15090 -j RETURN",
	"-A PREROUTING -p tcp -j REDIRECT --to-ports 15006",
	"-A OUTPUT -s 127.0.0.6/32 -o lo -p tcp -j RETURN",
	"-A OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 1337 -j REDIRECT --to-ports 15006",
	"-A OUTPUT -o lo -p tcp -m owner ! --uid-owner 1337 -j RETURN",
	"-A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN",
	"-A OUTPUT -d 127.0.0.1/32 -p tcp -j RETURN",
	"-A OUTPUT -p tcp -j REDIRECT --to-ports 15001",
}

// Capture loads the rules that send a pod's traffic through its proxy, and
// returns only when they are proven: listed back as written, and seen to catch
// a connection each way. Without them traffic would flow past the proxy, in
// plaintext and unnoticed. Call it before the proxy starts.
func (s *Namespace) Capture(ctx context.Context) error {
	if err := s.RouteAll(ctx); err != nil {
		return err
	}
	text := "*nat\n" + strings.Join(rules, "\n") + "\nCOMMIT\n"
	if err := run(ctx, text, s.Command(0, "iptables-restore")...); err != nil {
		return fmt.Errorf("loading capture rules: %w", err)
	}
	if err := s.CheckCapture(ctx); err != nil {
		return err
	}
	return s.probe(ctx)
}

// CheckCapture compares the rules that are loaded with those that should be.
func (s *Namespace) CheckCapture(ctx context.Context) error {
	listed, err := output(ctx, "", s.Command(0, "iptables-save", "-t", "nat")...)
	if err != nil {
		return fmt.Errorf("listing capture rules: %w", err)
	}
	var found []string
	for line := range strings.Lines(listed) {
		// Versions of iptables differ in whether they name the tcp match.
		if line = strings.ReplaceAll(strings.TrimSpace(line), " -m tcp", ""); strings.HasPrefix(line, "-A ") {
			found = append(found, line)
		}
	}
	if !slices.Equal(found, rules) {
		return fmt.Errorf("capture rules of %s are not as written: have %d rules\n%s", s.Name, len(found), strings.Join(found, "\n"))
	}
	return nil
}
