package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// describe is one line about a resource, for the table.
func describe(section string, resource any) string {
	switch section {
	case "listeners":
		return describeListener(resource)
	case "routes":
		return describeRoute(resource)
	case "clusters":
		return describeCluster(resource)
	case "endpoints":
		return dash(strings.Join(addresses(resource), " "))
	case "rbac":
		return describeRBAC(resource)
	}
	return "-"
}

func describeListener(resource any) string {
	var l struct {
		Address struct {
			SocketAddress struct {
				Address   string `json:"address"`
				PortValue int    `json:"port_value"`
			} `json:"socket_address"`
		} `json:"address"`
		FilterChains []struct {
			Name string `json:"name"`
		} `json:"filter_chains"`
	}
	reread(resource, &l)
	names := make([]string, 0, len(l.FilterChains))
	for _, chain := range l.FilterChains {
		names = append(names, dash(chain.Name))
	}
	return fmt.Sprintf("%s:%d chains: %s", l.Address.SocketAddress.Address, l.Address.SocketAddress.PortValue, strings.Join(names, " "))
}

func describeRoute(resource any) string {
	var r struct {
		VirtualHosts []struct {
			Name    string   `json:"name"`
			Domains []string `json:"domains"`
		} `json:"virtual_hosts"`
	}
	reread(resource, &r)
	hosts := make([]string, 0, len(r.VirtualHosts))
	for _, host := range r.VirtualHosts {
		hosts = append(hosts, host.Name)
	}
	return fmt.Sprintf("%d virtual hosts: %s", len(hosts), strings.Join(hosts, " "))
}

func describeCluster(resource any) string {
	var c struct {
		Type string `json:"type"`
	}
	reread(resource, &c)
	ids := identitiesIn(resource)
	if len(ids) == 0 {
		return dash(c.Type)
	}
	return c.Type + " accepts " + strings.Join(ids, " ")
}

func describeRBAC(resource any) string {
	var f struct {
		TypedConfig struct {
			Rules struct {
				Action   string         `json:"action"`
				Policies map[string]any `json:"policies"`
			} `json:"rules"`
		} `json:"typed_config"`
	}
	reread(resource, &f)
	action := f.TypedConfig.Rules.Action
	if action == "" {
		action = "ALLOW"
	}
	names := make([]string, 0, len(f.TypedConfig.Rules.Policies))
	for name := range f.TypedConfig.Rules.Policies {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("%s %d policies: %s", action, len(names), strings.Join(names, " "))
}

// addresses are the endpoints of a ClusterLoadAssignment, sorted.
func addresses(resource any) []string {
	var assignment struct {
		Endpoints []struct {
			LBEndpoints []struct {
				Endpoint struct {
					Address struct {
						SocketAddress struct {
							Address   string `json:"address"`
							PortValue int    `json:"port_value"`
						} `json:"socket_address"`
					} `json:"address"`
				} `json:"endpoint"`
			} `json:"lb_endpoints"`
		} `json:"endpoints"`
	}
	reread(resource, &assignment)
	var list []string
	for _, locality := range assignment.Endpoints {
		for _, e := range locality.LBEndpoints {
			address := e.Endpoint.Address.SocketAddress
			list = append(list, fmt.Sprintf("%s:%d", address.Address, address.PortValue))
		}
	}
	slices.Sort(list)
	return list
}

// identitiesIn finds the exact SPIFFE IDs anywhere in a resource: a cluster has
// them deep inside its transport sockets.
func identitiesIn(value any) []string {
	found := map[string]bool{}
	collectIdentities(value, found)
	list := make([]string, 0, len(found))
	for id := range found {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

func collectIdentities(value any, found map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			collectIdentities(inner, found)
		}
	case []any:
		for _, inner := range v {
			collectIdentities(inner, found)
		}
	case string:
		if strings.HasPrefix(v, "spiffe://") {
			found[v] = true
		}
	}
}

// reread puts a JSON value into a struct that names the few fields wanted; what
// does not fit stays empty.
func reread(value, into any) {
	if text, err := json.Marshal(value); err == nil {
		_ = json.Unmarshal(text, into)
	}
}
