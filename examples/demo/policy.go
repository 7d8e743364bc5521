package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

const books = "http://catalog.stock:9080/books/1"

// deniedPath: a DENY by path, and an ALLOW that the reader is not in.
func deniedPath(ctx context.Context, s *scene) (string, error) {
	for url, want := range map[string]string{
		books:                                    "200",
		"http://catalog.stock:9080/admin/prices": "403",
		"http://ratings.stock:9080/ratings/1":    "403",
	} {
		r := s.in(ctx, "reader", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url)
		if r.Output != want {
			return "", fmt.Errorf("%s: got %s, want %s", url, r.Output, want)
		}
	}
	return "books are open, /admin/* is denied to all, and ratings allow only reviews", nil
}

const denyReader = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-more-books, namespace: stock}
spec:
  selector: {matchLabels: {app: catalog}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/reader]}}]
`

// liveDeny: one connection is held while a policy comes and goes.
func liveDeny(ctx context.Context, s *scene) (reason string, err error) {
	watched := make(chan lab.Result, 1)
	go func() { watched <- s.Pod("reader").Exec(ctx, "bookshop", "watch", "--url", books, "--for", "4s") }()
	time.Sleep(time.Second)
	written := time.Now()
	err = s.Apply("no-more-books.yaml", denyReader)
	s.note("cat > "+s.Manifests()+"/no-more-books.yaml", denyReader)
	time.Sleep(1500 * time.Millisecond)
	err = errors.Join(err, s.Apply("no-more-books.yaml", ""))
	s.note("rm "+s.Manifests()+"/no-more-books.yaml", "")
	r := s.show(<-watched)
	if err != nil {
		return "", err
	}
	lines := strings.Split(r.Output, "\n")
	want := []string{"status 200 on connection 1", "status 403 on connection 1", "status 200 on connection 1"}
	if len(lines) != len(want) {
		return "", fmt.Errorf("the connection saw %d changes, not 200, 403, 200", len(lines))
	}
	for i, line := range lines {
		if !strings.HasSuffix(line, want[i]) {
			return "", fmt.Errorf("saw %q, want %q", line, want[i])
		}
	}
	took, err := sinceClock(written, lines[1])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the open connection was refused %d ms after the file was written, and served again when it was gone", took.Milliseconds()), nil
}

// sinceClock is how long after start the line's clock stands; lines carry only
// the time of day.
func sinceClock(start time.Time, line string) (time.Duration, error) {
	clock, _, _ := strings.Cut(line, " ")
	at, err := time.Parse("15:04:05.000", clock)
	if err != nil {
		return 0, fmt.Errorf("reading the clock of %q: %w", line, err)
	}
	start = start.UTC()
	day := time.Date(start.Year(), start.Month(), start.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	if day.Before(start.Add(-time.Hour)) {
		day = day.AddDate(0, 0, 1) // past midnight
	}
	return day.Sub(start), nil
}

// status is the part of `ensign proxy status -o json` that is needed here.
type status struct {
	Proxies []struct {
		Name   string `json:"name"`
		Serial string `json:"svid_serial"`
		Types  []struct {
			Type    string    `json:"type"`
			State   string    `json:"state"`
			AckedAt time.Time `json:"acked_at"`
		} `json:"types"`
	} `json:"proxies"`
}

func (s *scene) status(ctx context.Context) (status, error) {
	var st status
	return st, decode(s.Ensign(ctx, "proxy", "status", "-o", "json"), &st)
}

const slowPolicy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-attics, namespace: stock}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: [/attic/*]}}]
`

// editedPolicy: how long from the file to the last Envoy's acknowledgement.
func editedPolicy(ctx context.Context, s *scene) (reason string, err error) {
	// ACKs are told to the millisecond; earlier ones must not count.
	time.Sleep(20 * time.Millisecond)
	written := time.Now()
	if err := s.Apply("no-attics.yaml", slowPolicy); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Apply("no-attics.yaml", "")) }()
	s.note("cat > "+s.Manifests()+"/no-attics.yaml", slowPolicy)
	var last time.Time
	err = within(ctx, 10*time.Second, func() error {
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		waiting := map[string]bool{"stock/catalog": true, "stock/ratings": true, "stock/impostor": true}
		for _, p := range st.Proxies {
			for _, t := range p.Types {
				if t.Type == "ECDS" && t.State == "SYNCED" && t.AckedAt.After(written.Truncate(time.Millisecond)) {
					delete(waiting, p.Name)
					last = later(last, t.AckedAt)
				}
			}
		}
		if len(waiting) > 0 {
			return fmt.Errorf("no acknowledgement of %v", waiting)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	s.ensign(ctx, "proxy", "status")
	r := s.in(ctx, "reader", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://catalog.stock:9080/attic/1")
	if r.Output != "403" {
		return "", fmt.Errorf("acknowledged, but not in force: %s", r.Output)
	}
	return fmt.Sprintf("the last of the three Envoys concerned acknowledged it %d ms after the file was written", last.Sub(written).Milliseconds()), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
