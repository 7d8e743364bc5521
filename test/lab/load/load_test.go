package load_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

func run(t *testing.T, p load.Plan) load.Report {
	t.Helper()
	r, err := load.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunCountsEachAnswer(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i%10 == 0:
			w.WriteHeader(http.StatusForbidden)
		case i%2 == 0:
			io.WriteString(w, "even")
		default:
			io.WriteString(w, "odd")
		}
	}))
	defer server.Close()
	r := run(t, load.Plan{URL: server.URL + "/x", Count: 100, Workers: 3, Name: func(b []byte) string { return string(b) }})
	if r.Sent != 100 || r.OK != 90 || r.Failed != 10 || r.Statuses["403"] != 10 {
		t.Errorf("got %v", r)
	}
	if r.Names["even"] != 40 || r.Names["odd"] != 50 {
		t.Errorf("names: %v", r.Names)
	}
	if r.Connections != 3 {
		t.Errorf("%d connections for 3 workers that keep theirs", r.Connections)
	}
}

func TestFreshOpensAConnectionForEachRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	if r := run(t, load.Plan{URL: server.URL, Count: 7, Fresh: true}); r.Connections != 7 || r.OK != 7 {
		t.Errorf("got %v", r)
	}
}

// net/http's own client would hide this failure by sending the request again.
func TestARequestIsNeverSentTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var seen atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 4096)
				conn.Read(buf)
				seen.Add(1)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				if n, _ := conn.Read(buf); n > 0 {
					seen.Add(1)
				}
				conn.Close() // without an answer to the second
			}()
		}
	}()
	r := run(t, load.Plan{URL: "http://" + l.Addr().String(), Count: 2})
	if r.OK != 1 || r.Failed != 1 || seen.Load() != 2 {
		t.Errorf("server saw %d requests; report: %v", seen.Load(), r)
	}
}

func TestRateBoundsTheRun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	r := run(t, load.Plan{URL: server.URL, For: 500 * time.Millisecond, Rate: 50})
	if r.Sent < 10 || r.Sent > 26 {
		t.Errorf("%d sent in 0.5 s at 50 a second", r.Sent)
	}
}

func TestSlicesAndFailuresAreInTheirPlaceInTime(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 15 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	r := run(t, load.Plan{URL: server.URL, Count: 20, Rate: 100, Slice: 50 * time.Millisecond})
	if len(r.Failures) != 1 || r.Failures[0].Why != "status 503" || r.Failures[0].At < 100*time.Millisecond {
		t.Fatalf("failures %+v", r.Failures)
	}
	sent, failed := 0, 0
	for i, slice := range r.Slices {
		sent, failed = sent+slice.Sent, failed+slice.Failed
		if slice.Failed > 0 && i != int(r.Failures[0].At/(50*time.Millisecond)) {
			t.Errorf("slice %d has the failure of %s", i, r.Failures[0].At)
		}
	}
	if sent != 20 || failed != 1 {
		t.Errorf("%d sent and %d failed in %+v", sent, failed, r.Slices)
	}
}

func TestClientSaysWhetherTheConnectionWasKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	c, err := load.NewClient(load.Plan{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		a, err := c.Do(context.Background())
		if err != nil || a.Status != 200 || a.Reused != (i > 0) {
			t.Errorf("request %d: %+v, %v", i, a, err)
		}
	}
}

func TestPlansThatCannotRun(t *testing.T) {
	for _, p := range []load.Plan{{URL: "http://x"}, {URL: "https://x", Count: 1}, {URL: ":", Count: 1}, {URL: "/only", Count: 1}} {
		if _, err := load.Run(t.Context(), p); err == nil {
			t.Errorf("%+v was run", p)
		}
	}
}
