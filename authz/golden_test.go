package authz

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite testdata/out and prune what has no input")

// scenario is one file of testdata/in: policies, and requests to judge by them.
type scenario struct {
	Policies []*Policy
	Requests []struct {
		Peer, SourceIP, SNI, Host, Method, Path string
		Port                                    uint32
		Headers                                 map[string]string
		TCP                                     bool
	}
}

func (s scenario) request(t *testing.T, i int) Request {
	r := s.Requests[i]
	req := Request{
		HTTP: !r.TCP, DestinationPort: r.Port, SNI: r.SNI,
		Host: r.Host, Method: r.Method, Path: r.Path, Headers: r.Headers,
	}
	if r.Peer != "" {
		req.Peer = spiffeid.RequireFromString("spiffe://" + r.Peer)
	}
	if r.SourceIP != "" {
		req.SourceIP = netip.MustParseAddr(r.SourceIP)
	}
	return req
}

func (s scenario) judge(t *testing.T) string {
	var out strings.Builder
	set, err := Compile(s.Policies)
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			fmt.Fprintf(&out, "problem: %v\n", e)
		}
	}
	for i, r := range s.Requests {
		kind := "http"
		if r.TCP {
			kind = "tcp"
		}
		what := strings.Join(strings.Fields(fmt.Sprint(kind, " ", r.Method, " ", r.Host, r.Path, " ", r.Headers, " :", r.Port, " ", r.SourceIP, r.SNI)), " ")
		fmt.Fprintf(&out, "%s from %q\n\t%s\n", what, r.Peer, set.Evaluate(s.request(t, i)))
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/in/*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	want := map[string]bool{}
	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".yaml")
		want[name+".txt"] = true
		t.Run(name, func(t *testing.T) { compareGolden(t, in, filepath.Join("testdata/out", name+".txt")) })
	}
	outputs, _ := filepath.Glob("testdata/out/*")
	for _, out := range outputs {
		if want[filepath.Base(out)] {
			continue
		}
		if *update {
			os.Remove(out)
		} else {
			t.Errorf("%s has no input; run with -update", out)
		}
	}
}

func compareGolden(t *testing.T, in, out string) {
	raw, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	var s scenario
	if err := yaml.UnmarshalStrict(raw, &s); err != nil {
		t.Fatal(err)
	}
	got := s.judge(t)
	if *update {
		if err := os.WriteFile(out, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
