package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// identities: the list names the identity of every sidecar, with a live SVID.
func identities(ctx context.Context, s *scene) (string, error) {
	shown := s.ensign(ctx, "identity", "list")
	if shown.Code != 0 {
		return "", errors.New("the list could not be read")
	}
	var answer []struct {
		ID   string `json:"spiffe_id"`
		Live int    `json:"live_svids"`
	}
	if err := decode(s.Ensign(ctx, "identity", "list", "-o", "json"), &answer); err != nil {
		return "", err
	}
	live := map[string]int{}
	for _, i := range answer {
		live[i.ID] = i.Live
	}
	for _, p := range s.Sidecars() {
		if live[p.ID()] == 0 {
			return "", fmt.Errorf("%s has no live certificate", p.ID())
		}
	}
	return fmt.Sprintf("%d pods prove who they are, each with a certificate under its account's SPIFFE ID", len(s.Sidecars())), nil
}

// synced: nothing is pending, refused or held back.
func synced(ctx context.Context, s *scene) (string, error) {
	var r lab.Result
	// What was started a moment ago may still be acknowledging.
	err := within(ctx, 10*time.Second, func() error {
		if r = s.Ensign(ctx, "proxy", "status", "--check"); r.Code != 0 {
			return errors.New("not every proxy is synced")
		}
		return nil
	})
	s.show(r)
	if err != nil {
		return "", err
	}
	return "every proxy has acknowledged all that it was sent", nil
}

// hop is one service's answer, as examples/bookshop writes it.
type hop struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Caller  string `json:"caller"`
	Calls   []hop  `json:"calls"`
}

// journey: each service on the way saw the identity of the one before.
func journey(ctx context.Context, s *scene) (string, error) {
	r := s.in(ctx, "reader", "curl", "-sS", lab.BookURL)
	var first hop
	if err := decode(r, &first); err != nil {
		return "", err
	}
	seen := map[string]string{}
	collect(first, seen)
	want := map[string]string{
		"storefront": "spiffe://cluster.local/ns/shop/sa/reader",
		"catalog":    "spiffe://cluster.local/ns/shop/sa/storefront",
		"reviews":    "spiffe://cluster.local/ns/shop/sa/storefront",
		"ratings":    "spiffe://cluster.local/ns/shop/sa/reviews",
	}
	for service, caller := range want {
		if seen[service] != caller {
			return "", fmt.Errorf("%s saw %q as its caller, not %s", service, seen[service], caller)
		}
	}
	return "reader → storefront → reviews → ratings, and storefront → catalog: each saw its caller's SPIFFE ID over mTLS", nil
}

func collect(h hop, seen map[string]string) {
	seen[h.Service] = h.Caller
	for _, call := range h.Calls {
		collect(call, seen)
	}
}

// decode reads the JSON that a command answered.
func decode(r lab.Result, into any) error {
	if r.Code != 0 {
		return fmt.Errorf("%s: exit %d: %s", r.Line, r.Code, r.Output)
	}
	if err := json.Unmarshal([]byte(r.Output), into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w: %s", r.Line, err, firstLine(r.Output))
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// within tries until check holds or time is up, and answers its last error.
func within(ctx context.Context, limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
