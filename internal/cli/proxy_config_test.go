package cli

import (
	"slices"
	"strings"
	"testing"
)

const dumpText = `{"configs":[
 {"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamic_listeners":[
  {"name":"0.0.0.0_80","active_state":{"version_info":"","listener":{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"0.0.0.0_80","address":{"socket_address":{"address":"0.0.0.0","port_value":80}}}}}]},
 {"@type":"type.googleapis.com/envoy.admin.v3.RoutesConfigDump","dynamic_route_configs":[
  {"route_config":{"@type":"x","name":"80","virtual_hosts":[{"name":"80/b:80"},{"name":"80/a:80"}]}}]},
 {"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[
  {"cluster":{"@type":"x","name":"outbound|80||a.shop.svc.cluster.local","type":"EDS","deep":[{"exact":"spiffe://cluster.local/ns/shop/sa/a"}]}}]},
 {"@type":"type.googleapis.com/envoy.admin.v3.EndpointsConfigDump","dynamic_endpoint_configs":[
  {"endpoint_config":{"@type":"x","cluster_name":"outbound|80||a.shop.svc.cluster.local","policy":{"overprovisioning_factor":140},"endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"address":"10.0.0.2","port_value":8080}}},"health_status":"HEALTHY"}]}]}}]}
]}`

func parsed(t *testing.T) (sent, envoy proxyConfig) {
	t.Helper()
	// What ensignd sent has the same shape, without the defaults that Envoy adds to endpoints.
	sent, err := parseDump([]byte(strings.Replace(dumpText, `,"health_status":"HEALTHY"`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	envoy, err = parseDump([]byte(dumpText))
	if err != nil {
		t.Fatal(err)
	}
	return sent, envoy
}

func TestEqualConfigurationsHaveNoDifference(t *testing.T) {
	sent, envoy := parsed(t)
	if found := differences(sent, envoy); len(found) != 0 {
		t.Errorf("differences %+v, want none", found)
	}
}

func TestEachKindOfDifferenceIsNamed(t *testing.T) {
	cluster := "outbound|80||a.shop.svc.cluster.local"
	for _, c := range []struct {
		name  string
		spoil func(sent, envoy proxyConfig)
		want  difference
	}{
		{"missing in Envoy", func(_, envoy proxyConfig) { delete(envoy["listeners"], "0.0.0.0_80") }, difference{Section: "listeners", Name: "0.0.0.0_80", State: "not in Envoy"}},
		{"never sent", func(sent, _ proxyConfig) { delete(sent["clusters"], cluster) }, difference{Section: "clusters", Name: cluster, State: "not sent"}},
		{"other identity", func(sent, _ proxyConfig) {
			sent["clusters"][cluster] = map[string]any{"name": cluster, "type": "EDS"}
		}, difference{Section: "clusters", Name: cluster, State: "differs"}},
		{"other endpoint", func(sent, _ proxyConfig) { sent["endpoints"][cluster] = map[string]any{} }, difference{Section: "endpoints", Name: cluster, State: "differs"}},
		{"a virtual host less", func(_, envoy proxyConfig) {
			route := envoy["routes"]["80"].(map[string]any)
			route["virtual_hosts"] = route["virtual_hosts"].([]any)[:1]
		}, difference{Section: "routes", Name: "80", State: "differs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent, envoy := parsed(t)
			c.spoil(sent, envoy)
			found := differences(sent, envoy)
			if len(found) != 1 {
				t.Fatalf("%d differences, want one: %+v", len(found), found)
			}
			got := difference{Section: found[0].Section, Name: found[0].Name, State: found[0].State}
			if got.Section != c.want.Section || got.Name != c.want.Name || got.State != c.want.State {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestEndpointsThatNobodyAsksForAreNoDifference(t *testing.T) {
	sent, envoy := parsed(t)
	sent["clusters"]["PassthroughCluster"] = map[string]any{"name": "PassthroughCluster", "type": "ORIGINAL_DST"}
	envoy["clusters"]["PassthroughCluster"] = map[string]any{"name": "PassthroughCluster", "type": "ORIGINAL_DST"}
	envoy["endpoints"]["PassthroughCluster"] = map[string]any{"cluster_name": "PassthroughCluster"}
	if found := differences(sent, envoy.withoutOwnEndpoints()); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	if found := differences(sent, envoy); len(found) != 1 {
		t.Errorf("%d differences without leaving them out, want one", len(found))
	}
}

func TestASectionKeepsOnlyItself(t *testing.T) {
	sent, _ := parsed(t)
	if got := sent.section("clusters"); len(got) != 1 || len(got["clusters"]) != 1 {
		t.Errorf("%v", got)
	}
}

func TestADescribedClusterNamesWhomItAccepts(t *testing.T) {
	_, envoy := parsed(t)
	for section, want := range map[string]string{
		"clusters":  "EDS accepts spiffe://cluster.local/ns/shop/sa/a",
		"endpoints": "10.0.0.2:8080",
		"routes":    "2 virtual hosts: 80/a:80 80/b:80",
	} {
		names := envoy.names(section)
		if got := describe(section, envoy[section][names[0]]); got != want {
			t.Errorf("%s: %q, want %q", section, got, want)
		}
	}
}

func TestAnEmptyOrBrokenDumpIsSaid(t *testing.T) {
	if _, err := parseDump([]byte("<html>")); err == nil {
		t.Error("no error for a page that is no JSON")
	}
	config, err := parseDump([]byte(`{}`))
	if err != nil || !slices.Equal(config.names("clusters"), nil) {
		t.Errorf("%v, %v", config, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(dumpText))
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := parseDump(text)
		if err != nil {
			return
		}
		for _, section := range sections {
			for _, name := range config.names(section) {
				describe(section, config[section][name])
			}
		}
	})
}
