package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/xds/build"
)

// Envoy drops virtual hosts of routes that it does not have: they follow theirs.
func TestVirtualHostsFollowTheirRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.base(routeOf("80", true), routeOf("81", true))
		w.host("a", map[part][]build.Resource{virtualHosts: {virtualHostOf("80/a:80", ""), virtualHostOf("81/a:81", "")}})
		e := w.connect("shop", "web", "web-1")
		e.ask(route, "80")
		e.take(route, "80")
		e.ask(virtualHost)
		e.take(virtualHost, "80/a:80")
		e.ask(route, "81")
		e.take(route, "81")
		e.take(virtualHost, "81/a:81")
		// A route that comes again has lost its virtual hosts.
		e.say(&deltaRequest{TypeUrl: route.url(), ResourceNamesUnsubscribe: []string{"80"}})
		e.ask(route, "80")
		e.take(route, "80")
		e.take(virtualHost, "80/a:80")
		e.quiet()
	})
}

func TestRouteWithoutVirtualHostsDoesNotStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.base(routeOf("80", true), routeOf("81", false))
		e := w.connect("shop", "web", "web-1")
		e.ask(route, "80", "81")
		e.take(route, "80", "81")
		e.ask(virtualHost)
		r := e.take(virtualHost, "80/ensign.invalid")
		if res := r.Resources[0]; res.Resource != nil || len(res.Aliases) != 1 || res.Aliases[0] != res.Name {
			t.Errorf("the placeholder has a body or no alias: %v", res)
		}
		w.host("a", map[part][]build.Resource{virtualHosts: {virtualHostOf("80/a:80", "")}})
		e.take(virtualHost, "80/a:80", "-80/ensign.invalid")
		e.quiet()
	})
}

func TestOldEnvoysGetNoVHDS(t *testing.T) {
	n := nodeOf("shop", "web-1")
	n.GetUserAgentBuildVersion().Version.MinorNumber = 36
	if programOf(n).vhds {
		t.Error("Envoy 1.36 is served VHDS over ADS, which it refuses")
	}
	n.GetUserAgentBuildVersion().Version.MinorNumber = 37
	if p := programOf(n); !p.vhds || p.version != "1.37.0" {
		t.Errorf("Envoy 1.37: %+v", p)
	}
	n.UserAgentName = "gRPC Go"
	if programOf(n).vhds {
		t.Error("a client that is no Envoy is served VHDS")
	}
}
