package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// sections are the parts of a proxy's configuration, in the order of a request's way.
var sections = []string{"listeners", "routes", "clusters", "endpoints", "secrets", "rbac"}

// proxyConfig holds resources by section and name, each as JSON without its
// envelope, so that what was sent and what Envoy shows can be compared.
type proxyConfig map[string]map[string]any

func newProxyConfigValue() proxyConfig {
	config := proxyConfig{}
	for _, section := range sections {
		config[section] = map[string]any{}
	}
	return config
}

// section keeps one section; "" keeps all.
func (c proxyConfig) section(name string) proxyConfig {
	if name == "" {
		return c
	}
	return proxyConfig{name: c[name]}
}

func (c proxyConfig) names(section string) []string {
	return slices.Sorted(maps.Keys(c[section]))
}

// dumpPart says where Envoy's config_dump (envoy.admin.v3) keeps the dynamic
// resources of a section: the list, and the path to the resource in an element.
type dumpPart struct {
	section, message, list string
	path                   []string
}

var dumpParts = []dumpPart{
	{"listeners", "ListenersConfigDump", "dynamic_listeners", []string{"active_state", "listener"}},
	{"routes", "RoutesConfigDump", "dynamic_route_configs", []string{"route_config"}},
	{"clusters", "ClustersConfigDump", "dynamic_active_clusters", []string{"cluster"}},
	{"endpoints", "EndpointsConfigDump", "dynamic_endpoint_configs", []string{"endpoint_config"}},
	{"secrets", "SecretsConfigDump", "dynamic_active_secrets", []string{"secret"}},
	{"rbac", "EcdsConfigDump", "ecds_filters", []string{"ecds_filter"}},
}

// parseDump reads a config_dump: Envoy's own, or ensignd's of what it sent.
func parseDump(text []byte) (proxyConfig, error) {
	var dump struct {
		Configs []map[string]any `json:"configs"`
	}
	if err := json.Unmarshal(text, &dump); err != nil {
		return nil, fmt.Errorf("reading the config_dump: %w", err)
	}
	config := newProxyConfigValue()
	for _, message := range dump.Configs {
		kind, _ := message["@type"].(string)
		for _, part := range dumpParts {
			if strings.HasSuffix(kind, "."+part.message) {
				part.collect(message, config[part.section])
			}
		}
	}
	return config, nil
}

func (p dumpPart) collect(message map[string]any, into map[string]any) {
	list, _ := message[p.list].([]any)
	for _, element := range list {
		value := element
		for _, key := range p.path {
			object, _ := value.(map[string]any)
			value = object[key]
		}
		if resource, ok := value.(map[string]any); ok {
			into[resourceName(resource)] = tidy(resource)
		}
	}
}

// withoutOwnEndpoints leaves out the endpoints of clusters that do not ask for
// them: Envoy shows some of every cluster, and nobody sends those.
func (c proxyConfig) withoutOwnEndpoints() proxyConfig {
	asked := map[string]any{}
	for name, assignment := range c["endpoints"] {
		cluster, _ := c["clusters"][name].(map[string]any)
		if kind, _ := cluster["type"].(string); kind == "EDS" {
			asked[name] = assignment
		}
	}
	kept := maps.Clone(c)
	kept["endpoints"] = asked
	return kept
}

func resourceName(resource map[string]any) string {
	for _, key := range []string{"name", "cluster_name"} {
		if name, ok := resource[key].(string); ok {
			return name
		}
	}
	return ""
}

// tidy takes the envelope off a resource and puts its virtual hosts in order.
func tidy(resource map[string]any) map[string]any {
	delete(resource, "@type")
	if hosts, ok := resource["virtual_hosts"].([]any); ok {
		slices.SortFunc(hosts, func(a, b any) int {
			x, _ := a.(map[string]any)
			y, _ := b.(map[string]any)
			return strings.Compare(resourceName(x), resourceName(y))
		})
	}
	return resource
}

// differences compares section by section, name by name.
func differences(sent, envoy proxyConfig) []difference {
	found := []difference{}
	for _, section := range sections {
		// Envoy gets its secrets from its agent, not from ensignd.
		if section == "secrets" {
			continue
		}
		names := maps.Clone(sent[section])
		if names == nil {
			continue
		}
		maps.Copy(names, envoy[section])
		for _, name := range slices.Sorted(maps.Keys(names)) {
			a, inSent := sent[section][name]
			b, inEnvoy := envoy[section][name]
			switch {
			case !inEnvoy:
				found = append(found, difference{section, name, "not in Envoy", a, nil})
			case !inSent:
				found = append(found, difference{section, name, "not sent", nil, b})
			case !same(section, a, b):
				found = append(found, difference{section, name, "differs", a, b})
			}
		}
	}
	return found
}

// same compares two resources. Envoy writes defaults into the endpoints that it
// dumps, so of those the addresses are what counts.
func same(section string, a, b any) bool {
	if section == "endpoints" {
		return slices.Equal(addresses(a), addresses(b))
	}
	return reflect.DeepEqual(a, b)
}
