package lab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// honest are the counters that must be shown beside a claim that no request
// failed: what a retry or a patient client would have hidden. Each is the sum
// over listeners and clusters of one Envoy.
var honest = []string{
	"ssl.handshake",
	"ssl.connection_error",
	"ssl.fail_verify_error",
	"ssl.fail_verify_san",
	"ssl.fail_verify_no_cert",
	"ssl.fail_verify_cert_hash",
	"upstream_cx_connect_fail",
	"upstream_rq_5xx",
	// Envoy forgets a cluster's 5xx with the cluster when it is replaced; what its
	// listeners answered stays counted.
	"downstream_rq_5xx",
}

// Zero is what the counters of every Envoy were at some time.
type Zero map[string]map[string]int64

// Zero reads the counters of all sidecars.
func (l *Lab) Zero(ctx context.Context) (Zero, error) {
	pods := l.Sidecars()
	read := make([]map[string]int64, len(pods))
	if err := each(pods, func(i int, p *Pod) error {
		stats, err := p.Stats(ctx)
		if err != nil {
			return err
		}
		read[i] = map[string]int64{}
		for _, name := range honest {
			read[i][name] = stats.Sum(name)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	zero := Zero{}
	for i, p := range pods {
		zero[p.Name] = read[i]
	}
	return zero, nil
}

// Since is the difference to an earlier reading. An Envoy that was started
// between the two counts from nothing, and one that ended is left out.
func (z Zero) Since(before Zero) Zero {
	out := Zero{}
	for pod, counters := range z {
		out[pod] = map[string]int64{}
		for name, value := range counters {
			if old := before[pod][name]; old <= value {
				value -= old
			}
			out[pod][name] = value
		}
	}
	return out
}

// Faults says which counters but handshakes, and those excused, are not zero.
func (z Zero) Faults(excused ...string) []string {
	var faults []string
	for _, pod := range slices.Sorted(maps.Keys(z)) {
		for _, name := range honest[1:] {
			if n := z[pod][name]; n != 0 && !slices.Contains(excused, name) {
				faults = append(faults, fmt.Sprintf("%s: %s %d", pod, name, n))
			}
		}
	}
	return faults
}

// Handshakes is how many all Envoys counted, on either side.
func (z Zero) Handshakes() int64 {
	var sum int64
	for _, counters := range z {
		sum += counters[honest[0]]
	}
	return sum
}

// String is a table, an Envoy a line.
func (z Zero) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ENVOY\t%s\n", strings.Join(honest, "\t"))
	for _, pod := range slices.Sorted(maps.Keys(z)) {
		fmt.Fprint(w, pod)
		for _, name := range honest {
			fmt.Fprintf(w, "\t%d", z[pod][name])
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return strings.TrimRight(text.String(), "\n")
}
