package xds

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/ensign-mesh/ensign/mesh"
)

// node is who a client says it is: a pod, for its proven identity to confirm.
type node struct {
	id  string
	pod mesh.Key
}

// Limits of the names in a node ID: DNS-1123.
const (
	maxNodeID    = 1024
	maxPod       = 253
	maxNamespace = 63
)

// parseNode reads a node ID of Istio's form, sidecar~IP~POD.NAMESPACE~DOMAIN.
func parseNode(id string) (node, error) {
	const form = "want sidecar~IP~POD.NAMESPACE~DOMAIN"
	if len(id) > maxNodeID {
		return node{}, fmt.Errorf("node.id of %d bytes, at most %d are taken; %s", len(id), maxNodeID, form)
	}
	parts := strings.Split(id, "~")
	if len(parts) != 4 || parts[0] != "sidecar" {
		return node{}, fmt.Errorf("node.id %q; %s", id, form)
	}
	if _, err := netip.ParseAddr(parts[1]); err != nil {
		return node{}, fmt.Errorf("node.id %q has no IP address in its second part; %s", id, form)
	}
	dot := strings.LastIndexByte(parts[2], '.')
	if dot < 0 {
		return node{}, fmt.Errorf("node.id %q names no namespace; %s", id, form)
	}
	pod, namespace := parts[2][:dot], parts[2][dot+1:]
	if !dnsName(pod, maxPod, true) || !dnsName(namespace, maxNamespace, false) {
		return node{}, fmt.Errorf("node.id %q names no pod as Kubernetes names them; %s", id, form)
	}
	return node{id: id, pod: mesh.Key{Namespace: namespace, Name: pod}}, nil
}

// dnsName says whether s is a DNS-1123 label, or a subdomain if dots may be.
func dnsName(s string, limit int, dots bool) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return dots || !strings.Contains(s, ".")
}

// program is the software of a client as it says itself.
type program struct {
	// version is "1.40.0" for Envoy, the client's own words (cut) for another.
	version string
	// vhds: takes virtual hosts one by one on the ADS stream.
	vhds bool
}

// maxVersion bounds the words that a client has for its version.
const maxVersion = 64

// programOf reads the user agent. Envoy takes VHDS over ADS from 1.37.
func programOf(n *corev3.Node) program {
	v := n.GetUserAgentBuildVersion().GetVersion()
	if n.GetUserAgentName() == "envoy" && v != nil {
		return program{
			version: fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch()),
			vhds:    v.GetMajorNumber() > 1 || v.GetMajorNumber() == 1 && v.GetMinorNumber() >= 37,
		}
	}
	words := strings.TrimSpace(n.GetUserAgentName() + " " + n.GetUserAgentVersion())
	words = strings.ToValidUTF8(words, "?")
	return program{version: words[:min(len(words), maxVersion)]}
}
