package build

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const web = "web.example.com"

const versions = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web.example.com
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
`

func TestMatchesOnEnvoy(t *testing.T) {
	const v2 = "route: [{destination: {host: web.example.com, subset: v2}}]"
	c, _, _ := startRouted(t, versions+`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  http:
  - match:
    - {uri: {exact: /exact}}
    - {uri: {prefix: /start}}
    - {uri: {regex: "/re[0-9]+"}}
    - {uri: {exact: /CaseLess}, ignoreUriCase: true}
    - {uri: {exact: /method}, method: {exact: POST}}
    - {uri: {exact: /query}, queryParams: {v: {exact: "1"}}}
    - {uri: {exact: /header}, headers: {x-user: {regex: "a.*"}}}
    - {uri: {exact: /present}, headers: {x-user: {}}}
    - {uri: {exact: /absent}, withoutHeaders: {x-user: {}}}
    - {uri: {exact: /not-ann}, withoutHeaders: {x-user: {exact: ann}}}
    - {uri: {exact: /authority}, authority: {exact: "web.example.com:80"}}
    - {uri: {exact: /other-namespace}, sourceNamespace: stock}
    - {uri: {exact: /labels}, sourceLabels: {app: web}}
    `+v2+`
  - route: [{destination: {host: web.example.com, subset: v1}}]
`)
	for _, test := range []struct {
		method, host, path, header, want string
	}{
		{"GET", web, "/exact", "", "v2"},
		{"GET", web, "/exact?q=1", "", "v2"},
		{"GET", web, "/exactly", "", "v1"},
		{"GET", web, "/started", "", "v2"},
		{"GET", web, "/re12", "", "v2"},
		{"GET", web, "/re12x", "", "v1"},
		{"GET", web, "/caselesS", "", "v2"},
		{"GET", web, "/EXACT", "", "v1"},
		{"POST", web, "/method", "", "v2"},
		{"GET", web, "/method", "", "v1"},
		{"GET", web, "/query?v=1", "", "v2"},
		{"GET", web, "/query?v=2", "", "v1"},
		{"GET", web, "/header", "x-user: ann", "v2"},
		{"GET", web, "/header", "x-user: bob", "v1"},
		{"GET", web, "/header", "", "v1"},
		{"GET", web, "/present", "x-user: bob", "v2"},
		{"GET", web, "/present", "", "v1"},
		{"GET", web, "/absent", "", "v2"},
		{"GET", web, "/absent", "x-user: bob", "v1"},
		{"GET", web, "/not-ann", "", "v2"},
		{"GET", web, "/not-ann", "x-user: bob", "v2"},
		{"GET", web, "/not-ann", "x-user: ann", "v1"},
		{"GET", web + ":80", "/authority", "", "v2"},
		{"GET", web, "/authority", "", "v1"},
		{"GET", web, "/other-namespace", "", "v1"},
		{"GET", web, "/labels", "", "v1"},
	} {
		var headers []string
		if test.header != "" {
			headers = []string{test.header}
		}
		if a := c.ask(t, test.method, test.host, test.path, headers...); a.Backend != test.want {
			t.Errorf("%s %s%s %s went to %q (%d), want %s", test.method, test.host, test.path, test.header, a.Backend, a.status, test.want)
		}
	}
}

// actions has a path for everything that a route can do.
const actions = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  http:
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: other.example.com}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {prefix: /regex/}}]
    rewrite: {uriRegexRewrite: {match: "^/regex/(.*)$", rewrite: '/was-\1'}}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /redirect}}]
    redirect: {uri: /there, authority: else.example.com, redirectCode: 308}
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short}}
  - match: [{uri: {exact: /headers}}]
    headers:
      request: {set: {x-set: "100%", host: set.example.com}, add: {x-add: "%REQ(x-was)%"}, remove: [x-gone]}
      response: {set: {x-answer: "42"}, remove: [x-from-backend]}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /slow}}]
    timeout: 0.2s
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /patient/slow}}]
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /abort}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /delay}}]
    fault: {delay: {fixedDelay: 0.3s, percentage: {value: 100}}}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /missing}}]
    route: [{destination: {host: web.example.com, subset: missing}}]
  - match: [{uri: {exact: /mirror}}]
    mirror: {host: web.example.com, subset: v2}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /retried/flaky}}]
    retries: {attempts: 2, retryOn: 5xx, retryIgnorePreviousHosts: false}
    route: [{destination: {host: web.example.com, subset: v1}}]
  - match: [{uri: {exact: /once/flaky}}]
    retries: {attempts: 0}
    route: [{destination: {host: web.example.com, subset: v1}}]
`

func TestActionsOnEnvoy(t *testing.T) {
	c, v1, v2 := startRouted(t, versions+actions)
	status := func(path string, want int) answer {
		t.Helper()
		a := c.ask(t, "GET", web, path)
		if a.status != want {
			t.Errorf("%s answered %d %q, want %d", path, a.status, a.body, want)
		}
		return a
	}
	if a := status("/old/page?q=1", 200); a.Path != "/new/page?q=1" || a.Host != "other.example.com" {
		t.Errorf("rewritten to %s%s", a.Host, a.Path)
	}
	if a := status("/regex/page", 200); a.Path != "/was-page" {
		t.Errorf("rewritten to %s", a.Path)
	}
	if a := status("/redirect", http.StatusPermanentRedirect); a.headers.Get("Location") != "http://else.example.com/there" {
		t.Errorf("redirected to %s", a.headers.Get("Location"))
	}
	if a := status("/teapot", http.StatusTeapot); a.body != "short" {
		t.Errorf("direct response %q", a.body)
	}
	a := c.ask(t, "GET", web, "/headers", "x-gone: 1", "x-was: here")
	got := fmt.Sprint(a.Host, a.Headers["X-Set"], a.Headers["X-Add"], a.Headers["X-Gone"], a.headers["X-Answer"], a.headers["X-From-Backend"])
	if want := "set.example.com[100%] [here] [] [42] []"; got != want {
		t.Errorf("headers %s, want %s", got, want)
	}
	// The backend takes a second and would answer 200.
	status("/slow", http.StatusGatewayTimeout)
	status("/patient/slow", 200)
	status("/abort", 555)
	start := time.Now()
	status("/delay", 200)
	if took := time.Since(start); took < 250*time.Millisecond {
		t.Errorf("a delay of 0.3 s took %v", took)
	}
	status("/missing", http.StatusServiceUnavailable)
	if status("/mirror", 200); !v1.saw("/mirror") || !v2.saw("/mirror") {
		t.Error("the request was not mirrored")
	}
	status("/retried/flaky", 200)
	status("/once/flaky", http.StatusServiceUnavailable)
	status("/no-route", http.StatusNotFound)
}

func TestWeightsOnEnvoy(t *testing.T) {
	c, _, _ := startRouted(t, versions+`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  http:
  - route:
    - {destination: {host: web.example.com, subset: v1}, weight: 80}
    - {destination: {host: web.example.com, subset: v2}, weight: 20}
    - {destination: {host: web.example.com, subset: missing}, weight: 0}
`)
	counts := map[string]int{}
	for range 500 {
		counts[c.ask(t, "GET", web, "/").Backend]++
	}
	// 100 expected; six standard deviations are 54.
	if counts["v1"]+counts["v2"] != 500 || counts["v2"] < 46 || counts["v2"] > 154 {
		t.Errorf("500 requests at 80 to 20 went to %v", counts)
	}
}

func TestHashingOnEnvoy(t *testing.T) {
	c, _, _ := startRouted(t, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web.example.com
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
`)
	reached := map[string]bool{}
	for i := range 20 {
		user := fmt.Sprintf("x-user: %d", i)
		first := c.ask(t, "GET", web, "/", user).Backend
		reached[first] = true
		for range 5 {
			if again := c.ask(t, "GET", web, "/", user).Backend; again != first {
				t.Fatalf("%s went to %s, then to %s", user, first, again)
			}
		}
	}
	if len(reached) != 2 {
		t.Errorf("20 users all went to %v", reached)
	}
}
