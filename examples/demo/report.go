package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// report is demo/report.json.
type report struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Holds   bool      `json:"holds"`
	Steps   []step    `json:"steps"`
	// ServerInfo is each Envoy's own /server_info, by pod, without the list of the
	// extensions that it was built with.
	ServerInfo map[string]json.RawMessage `json:"server_info"`
}

// step is one chapter as it went.
type step struct {
	Number   int          `json:"number"`
	Title    string       `json:"title"`
	Commands []lab.Result `json:"commands"`
	// Verdict is "holds" or "does not hold".
	Verdict string  `json:"verdict"`
	Reason  string  `json:"reason"`
	Seconds float64 `json:"seconds"`
}

const (
	holds       = "holds"
	doesNotHold = "does not hold"
)

func (r *report) failed() int {
	n := 0
	for _, s := range r.Steps {
		if s.Verdict != holds {
			n++
		}
	}
	return n
}

// finish adds what the Envoys say of themselves and writes the file.
func (r *report) finish(ctx context.Context, l *lab.Lab, out string) error {
	r.Seconds, r.Holds = time.Since(r.Started).Seconds(), r.failed() == 0
	r.ServerInfo = map[string]json.RawMessage{}
	for _, p := range l.Sidecars() {
		info, err := p.ServerInfo(ctx)
		if err != nil {
			return fmt.Errorf("asking the Envoy of %s who it is: %w", p.Name, err)
		}
		if r.ServerInfo[p.Name], err = withoutExtensions(info); err != nil {
			return fmt.Errorf("reading what the Envoy of %s says of itself: %w", p.Name, err)
		}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return os.WriteFile(filepath.Join(out, "report.json"), append(data, '\n'), 0o644)
}

// withoutExtensions drops some thousand lines that are the same in every Envoy.
func withoutExtensions(info json.RawMessage) (json.RawMessage, error) {
	var page map[string]any
	if err := json.Unmarshal(info, &page); err != nil {
		return nil, err
	}
	if node, ok := page["node"].(map[string]any); ok {
		delete(node, "extensions")
	}
	return json.Marshal(page)
}
