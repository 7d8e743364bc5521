package mesh

import (
	"strings"
	"testing"
)

func TestQualify(t *testing.T) {
	for in, want := range map[string]string{
		"reviews": reviews, "Reviews": reviews, "reviews.bank": "reviews.bank", "API.Example": "api.example",
		"*": "*", "*.example": "*.example", "": "", "::1": "::1", "10.0.0.1": "10.0.0.1",
	} {
		if got := qualify(in, "shop"); got != want {
			t.Errorf("qualify(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for host, ok := range map[string]bool{
		"reviews": true, "a.b-c.example": true, "_grpc.example": true, "10.0.0.1": true, "fe80::1": true, "*.example": true,
		"": false, "*": false, "a..b": false, ".a": false, "a.": false, "-a.b": false, "a b": false, "*.*.a": false, "a.*.b": false,
		"a/b": false, "a:80": false, "münchen.example": false, strings.Repeat("a", 64): false,
		strings.Repeat("a.", 127) + "aa": false, "a\n": false,
	} {
		if err := checkHost(host, true); (err == nil) != ok {
			t.Errorf("host %q: %v, want accepted %v", host, err, ok)
		}
	}
	if checkHost("*.example", false) == nil {
		t.Error("a wildcard is accepted where none is allowed")
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "FE80::0:1": "fe80::1",
		"": "", "10.0.0": "", "10.0.0.0/8": "", "fe80::1%eth0": "", "0.0.0.0": "", "::": "", "host": "",
	} {
		if got, ok := address(in); got != want || ok != (want != "") {
			t.Errorf("address(%q) is %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestKubeHostAndBack(t *testing.T) {
	k := Key{"shop", "reviews"}
	if got, ok := kubeService(kubeHost(k)); !ok || got != k {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, host := range []string{"reviews.example", "svc.cluster.local", "reviews.svc.cluster.local"} {
		if k, ok := kubeService(host); ok {
			t.Errorf("%s names the service %v", host, k)
		}
	}
}
