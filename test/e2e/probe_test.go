package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// hop is one service's answer, as examples/bookshop writes it.
type hop struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Pod     string `json:"pod"`
	Caller  string `json:"caller"`
	Calls   []hop  `json:"calls"`
}

// refused stands for a request that got no HTTP answer.
const refused = 0

// outcome is what one request came to.
type outcome struct {
	status int
	hop    hop
	body   string
}

// ask sends one request on a fresh connection from a pod.
func ask(ctx context.Context, from *lab.Pod, url string, headers ...string) outcome {
	plan := load.Plan{URL: url, Fresh: true, Timeout: 3 * time.Second}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if plan.Header == nil {
			plan.Header = map[string][]string{}
		}
		plan.Header[name] = []string{value}
	}
	client, err := from.Client(plan)
	if err != nil {
		return outcome{body: err.Error()}
	}
	defer client.Close()
	answer, err := client.Do(ctx)
	if err != nil {
		return outcome{status: refused, body: err.Error()}
	}
	o := outcome{status: answer.Status, body: string(answer.Body)}
	_ = json.Unmarshal(answer.Body, &o.hop) // a refusal is not JSON
	return o
}

// probe is a request and what it must come to.
type probe struct {
	from, url string
	want      int
	// caller is what the server must have seen; "" does not care.
	caller string
}

// holds waits until all probes come out as wanted, three times in a row: while a
// change travels, one Envoy may have it and the next not.
func holds(t *testing.T, l *lab.Lab, probes ...probe) {
	t.Helper()
	eventually(t, func() error {
		for range 3 {
			for _, p := range probes {
				o := ask(t.Context(), l.Pod(p.from), p.url)
				if o.status != p.want {
					return fmt.Errorf("%s asks %s: %d, want %d (%s)", p.from, p.url, o.status, p.want, o.body)
				}
				if p.caller != "" && o.hop.Caller != p.caller {
					return fmt.Errorf("%s asks %s: seen as %q, want %q", p.from, p.url, o.hop.Caller, p.caller)
				}
			}
		}
		return nil
	})
}

// direct is a URL at a pod's own address.
func direct(l *lab.Lab, pod, path string) string {
	return fmt.Sprintf("http://%s:9080%s", l.Pod(pod).Net.IP, path)
}

// say sends a line over TCP and wants it back.
func say(ctx context.Context, from *lab.Pod, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := from.Net.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "ahoy"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "ahoy\n" {
		err = errors.New("the echo changed the words: " + line)
	}
	return err
}

func contextWithStop(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	return ctx, stop
}
