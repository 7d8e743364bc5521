package netns_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// captured adds a pod with the rules and an Envoy that runs as the proxy's user.
func captured(t *testing.T, n *netns.Network, name string) *netns.Namespace {
	t.Helper()
	pod := add(t, n, name)
	if err := pod.Capture(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Abs("testdata/plain-envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Where every user may read them.
	binary := filepath.Join(n.Dir(), "envoy")
	if _, err := os.Stat(binary); err != nil {
		copyFile(t, need.Envoy(t), binary, 0o755)
		copyFile(t, config, filepath.Join(n.Dir(), "envoy.yaml"), 0o644)
	}
	if _, err := pod.Start(netns.Spec{Name: name + ".envoy", UID: netns.ProxyUID,
		Argv: []string{binary, "-c", filepath.Join(n.Dir(), "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		conn, err := pod.Dial(t.Context(), "tcp", "127.0.0.1:15006")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return pod
}

func TestARequestTravelsThroughBothEnvoys(t *testing.T) {
	n := open(t)
	client, server := captured(t, n, "client"), captured(t, n, "server")
	l, err := server.Listen(t.Context(), "0.0.0.0:9080")
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, hop := range r.Header["X-Hop"] {
			io.WriteString(w, hop+" ")
		}
	}))
	outsider := add(t, n, "outsider")
	for _, test := range []struct {
		from *netns.Namespace
		want string
	}{{client, "outbound inbound "}, {outsider, "inbound "}, {server, ""}} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		got := fetch(ctx, t, test.from, "http://"+server.IP.String()+":9080/")
		cancel()
		if got != test.want {
			t.Errorf("from %s: went through %q, want %q", test.from.Name, got, test.want)
		}
	}
}

func fetch(ctx context.Context, t *testing.T, from *netns.Namespace, url string) string {
	t.Helper()
	transport := &http.Transport{DialContext: from.Dial, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}
