package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// service is one of the bookshop's four.
type service struct {
	name, version, pod string
	calls              []string
	client             *http.Client
}

// answer is what each service says; Calls are the answers that it got itself.
type answer struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Pod     string `json:"pod,omitempty"`
	// Caller is the SPIFFE ID that the proxy before this service proved, or
	// "nobody" for a request that came without mTLS.
	Caller string   `json:"caller"`
	Path   string   `json:"path"`
	Calls  []answer `json:"calls,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// handler answers every path. /slow?ms=N waits first.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		select {
		case <-time.After(time.Duration(min(ms, 60_000)) * time.Millisecond):
		case <-r.Context().Done():
		}
		s.serve(w, r)
	})
	mux.HandleFunc("/", s.serve)
	return mux
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	a := answer{Service: s.name, Version: s.version, Pod: s.pod, Caller: caller(r.Header), Path: r.URL.Path}
	status := http.StatusOK
	for _, call := range s.calls {
		below, err := s.call(r, strings.ReplaceAll(call, "{id}", path.Base(r.URL.Path)))
		if err != nil {
			status = http.StatusBadGateway
			below = answer{Service: call, Error: err.Error()}
		}
		a.Calls = append(a.Calls, below)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(a) // the client is gone: nobody to tell
}

// forwarded are the headers that travel with a request from service to service.
var forwarded = []string{"X-Reader", "X-Request-Id"}

func (s *service) call(from *http.Request, url string) (answer, error) {
	req, err := http.NewRequestWithContext(from.Context(), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for _, name := range forwarded {
		if value := from.Header.Get(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	var a answer
	return a, json.Unmarshal(body, &a)
}

// caller reads the URI of the last element of x-forwarded-client-cert: the peer
// of the nearest proxy.
func caller(h http.Header) string {
	elements := strings.Split(h.Get("X-Forwarded-Client-Cert"), ",")
	for field := range strings.SplitSeq(elements[len(elements)-1], ";") {
		if uri, ok := strings.CutPrefix(field, "URI="); ok {
			return strings.Trim(uri, `"`)
		}
	}
	return "nobody"
}
