package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/internal/agent"
)

const usage = `Run beside one Envoy: make its key, get its certificate, serve both over SDS,
relay its ADS stream, start and stop it.

Usage:
  ensign-agent --control-plane HOST:15012 --trust-bundle FILE --token-file FILE
               --pod NAMESPACE/NAME --ip IP --run-dir DIR [flags] [-- ENVOY ARGS]

Flags:
`

const example = `
It exits with Envoy's code; 1 when it cannot start; 2 when it is used wrongly.
DIR gets sds.sock, xds.sock and log.sock, envoy.yaml and envoy.pid, and what the
next agent is to know: cutoff (who is cut off) and ledger.checkpoint.

Example:
  ensign-agent --control-plane istiod.istio-system.svc:15012 \
    --trust-bundle /etc/ensign/bundle.pem --token-file /var/run/secrets/tokens/istio-token \
    --pod shop/reviews-v1 --ip 10.0.0.7 --run-dir /run/ensign -- --concurrency 2
`

// errHelp: the help was asked for and shown.
var errHelp = errors.New("help shown")

// parse reads the command line; help goes to out.
func parse(args []string, out io.Writer) (agent.Config, error) {
	var c agent.Config
	level := slog.LevelInfo
	flags := flag.NewFlagSet("ensign-agent", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.ControlPlane, "control-plane", "", "`HOST:PORT` of ensignd")
	flags.StringVar(&c.ServerName, "server-name", "", "`name` that its certificate must hold (default HOST; istiod.istio-system.svc if HOST is an IP)")
	flags.StringVar(&c.TrustBundle, "trust-bundle", "", "PEM `file` of the roots that it is verified with, read again for each handshake")
	flags.StringVar(&c.TokenFile, "token-file", "", "`file` with the service account's token, read again for each use")
	flags.StringVar(&c.TrustDomain, "trust-domain", "cluster.local", "trust `domain` of this workload")
	flags.StringVar(&c.Pod, "pod", "", "`NAMESPACE/NAME` of the pod")
	flags.StringVar(&c.IP, "ip", "", "`address` of the pod")
	flags.Func("label", "`key=value` label of the pod, told to the control plane; may be repeated", labels(&c))
	flags.StringVar(&c.RunDir, "run-dir", "", "`folder` for the sockets and Envoy's bootstrap")
	flags.StringVar(&c.Envoy, "envoy", "envoy", "`path` of Envoy's binary, or none")
	flags.StringVar(&c.EnvoyAdmin, "envoy-admin", "127.0.0.1:15000", "`address` for Envoy's admin port, on the loopback")
	flags.StringVar(&c.Metrics, "metrics", ":15020", "`address` for /metrics and /stats/prometheus")
	flags.StringVar(&c.Health, "health", ":15021", "`address` for /healthz/ready")
	flags.DurationVar(&c.TTL, "svid-ttl", 24*time.Hour, "certificate `life` to ask for; renewed at half of it")
	flags.DurationVar(&c.Drain, "drain", 5*time.Second, "`time` that Envoy may finish its requests in after SIGTERM")
	flags.TextVar(&level, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		help(flags, out)
		return c, errHelp
	} else if err != nil {
		return c, wrong(err)
	}
	if c.EnvoyArgs = flags.Args(); len(c.EnvoyArgs) > 0 && !afterDashes(args, len(c.EnvoyArgs)) {
		return c, wrong(fmt.Errorf("unexpected %q: Envoy's own arguments go behind --", c.EnvoyArgs[0]))
	}
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return c, nil
}

func wrong(err error) error { return fmt.Errorf("%w; see ensign-agent --help", err) }

func labels(c *agent.Config) func(string) error {
	return func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is not key=value", text)
		}
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[key] = value
		return nil
	}
}

// afterDashes says whether the last n arguments stand behind a --.
func afterDashes(args []string, n int) bool {
	before := len(args) - n - 1
	return before >= 0 && args[before] == "--"
}

func help(flags *flag.FlagSet, out io.Writer) {
	fmt.Fprint(out, usage)
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(out, "  --%-15s %-16s %s\n", f.Name, value, text)
	})
	fmt.Fprint(out, example)
}
