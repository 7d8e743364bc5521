package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// DialFunc is net.Dialer.DialContext's form.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Plan is one run. It ends after Count requests or after For, whichever comes
// first; one of them must be set.
type Plan struct {
	URL    string
	Method string // empty: GET
	Host   string // empty: the URL's
	Header http.Header
	// Fresh opens a connection for each request; else each worker keeps one for
	// as long as the server does.
	Fresh   bool
	Workers int // 0: one
	// Rate is requests a second over all workers; 0 as fast as answers come.
	Rate  float64
	Count int
	For   time.Duration
	// Timeout of one request, connection included. 0: 12 s, for which a busy machine
	// has time enough, and which ends before the 15 s that an Envoy waits for
	// configuration that it lacks: no request may be behind that.
	Timeout time.Duration
	// Dial may connect from another network namespace. nil: the usual one.
	Dial DialFunc
	// Slice cuts the report into pieces of so long; 0: none.
	Slice time.Duration
	// Name sorts answers with status 200 by their body, for Report.Names.
	Name func(body []byte) string
}

// target is a plan made whole.
type target struct {
	Plan
	address string
	path    string
}

func (p Plan) target() (target, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return target{}, fmt.Errorf("reading URL: %w", err)
	}
	if u.Scheme != "http" || u.Host == "" {
		return target{}, fmt.Errorf("URL %q: want http://HOST[:PORT]/PATH", p.URL)
	}
	if p.Count <= 0 && p.For <= 0 {
		return target{}, errors.New("a plan needs a count or a duration")
	}
	t := target{Plan: p, address: u.Host, path: u.RequestURI()}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), "80")
	}
	if t.Host == "" {
		t.Host = u.Host
	}
	if t.Method == "" {
		t.Method = http.MethodGet
	}
	if t.Dial == nil {
		t.Dial = new(net.Dialer).DialContext
	}
	if t.Timeout == 0 {
		t.Timeout = 12 * time.Second
	}
	t.Workers = max(t.Workers, 1)
	return t, nil
}
