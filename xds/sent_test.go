package xds

import (
	"errors"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func TestSentIsShapedAsAConfigDump(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		w.connect("shop", "web", "web-1").start()
		dump, err := w.server.Sent("shop/web-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := protojson.Marshal(dump); err != nil {
			t.Fatal(err)
		}
		var clusters adminv3.ClustersConfigDump
		var routes adminv3.RoutesConfigDump
		for _, c := range dump.Configs {
			switch {
			case c.MessageIs(&clusters):
				unpack(t, c.Value, &clusters)
			case c.MessageIs(&routes):
				unpack(t, c.Value, &routes)
			}
		}
		if len(clusters.DynamicActiveClusters) != 2 || clusters.DynamicActiveClusters[0].VersionInfo == "" {
			t.Errorf("clusters: %v", &clusters)
		}
		var config routev3.RouteConfiguration
		unpack(t, routes.DynamicRouteConfigs[0].RouteConfig.Value, &config)
		if len(config.VirtualHosts) != 1 || config.VirtualHosts[0].Name != "80/a:80" {
			t.Errorf("the route's virtual hosts: %v", config.VirtualHosts)
		}
	})
}

func unpack(t testing.TB, data []byte, into proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func TestSentToNobody(t *testing.T) {
	if _, err := newWorld(t).server.Sent("shop/web-1"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("got %v, want ErrNotConnected", err)
	}
}

func TestProxies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		w.connect("shop", "web", "web-1").start()
		w.connect("bank", "db", "db-1").start()
		all := w.server.Proxies()
		if len(all) != 2 || all[0].Name != "bank/db-1" || all[1].SPIFFEID != "spiffe://cluster.local/ns/shop/sa/web" || all[1].EnvoyVersion != "1.40.0" {
			t.Fatalf("proxies: %+v", all)
		}
		for i, s := range all[1].Types {
			if s.TypeURL != kind(i).url() || s.State != Synced || s.Resources == 0 {
				t.Errorf("type %d: %+v", i, s)
			}
		}
	})
}
