package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Stats are the counters and gauges of one Envoy.
type Stats map[string]int64

// Admin reads a page of the pod's Envoy, as /server_info.
func (p *Pod) Admin(ctx context.Context, path string) ([]byte, error) {
	return get(ctx, p.Net, "http://127.0.0.1:15000"+path)
}

// ServerInfo is Envoy's own page, as it is.
func (p *Pod) ServerInfo(ctx context.Context) (json.RawMessage, error) {
	return p.Admin(ctx, "/server_info")
}

// TrustedRoots are the serials of the CAs that the pod's Envoy checks its peers
// against, as Envoy writes them, each once.
func (p *Pod) TrustedRoots(ctx context.Context) ([]string, error) {
	body, err := p.Admin(ctx, "/certs")
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of %s: %w", p.Name, err)
	}
	return trustedRoots(body)
}

func trustedRoots(body []byte) ([]string, error) {
	var page struct {
		Certificates []struct {
			CA []struct {
				Serial string `json:"serial_number"`
			} `json:"ca_cert"`
		} `json:"certificates"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("reading Envoy's certificates: %w", err)
	}
	var serials []string
	for _, c := range page.Certificates {
		for _, root := range c.CA {
			if !slices.Contains(serials, root.Serial) {
				serials = append(serials, root.Serial)
			}
		}
	}
	return serials, nil
}

// Metric is the sum of the samples of one metric of the pod's agent.
func (p *Pod) Metric(ctx context.Context, name string) (float64, error) {
	body, err := get(ctx, p.Net, "http://127.0.0.1:15020/metrics")
	if err != nil {
		return 0, fmt.Errorf("reading metrics of the agent of %s: %w", p.Name, err)
	}
	return sumMetric(body, name)
}

// Stats reads the counters that have been used.
func (p *Pod) Stats(ctx context.Context) (Stats, error) {
	body, err := p.Admin(ctx, "/stats?usedonly")
	if err != nil {
		return nil, fmt.Errorf("reading stats of %s: %w", p.Name, err)
	}
	stats := Stats{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if n, err := strconv.ParseInt(value, 10, 64); ok && err == nil {
			stats[name] += n
		}
	}
	return stats, lines.Err()
}

// leftOut are parts of a counter that Envoy counts again under its whole (HTTP by
// listener, too), and what carries no traffic of the mesh: the clusters of the
// agent's sockets, and Envoy's own pages.
var leftOut = []string{"http.admin.", ".http.", ".external.", ".internal.", ".canary.", "cluster.xds-grpc.", "cluster.sds-grpc.", "cluster.als-grpc."}

// Sum adds all stats of the mesh's traffic whose name ends in .suffix, each
// event once.
func (s Stats) Sum(suffix string) int64 {
	var sum int64
	for name, value := range s {
		out := slices.ContainsFunc(leftOut, func(part string) bool { return strings.Contains(name, part) })
		if strings.HasSuffix(name, "."+suffix) && !out {
			sum += value
		}
	}
	return sum
}

// sumMetric adds the samples of one metric in Prometheus' text form.
func sumMetric(text []byte, name string) (float64, error) {
	var sum float64
	found := false
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("reading metric %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return sum, nil
}
