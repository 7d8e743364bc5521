package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// flagSet returns usage errors instead of ending the program.
func flagSet(verb string) *flag.FlagSet {
	return flag.NewFlagSet(verb, flag.ContinueOnError)
}

// urls is a flag that may be given several times.
type urls []string

func (u *urls) String() string { return strings.Join(*u, " ") }

func (u *urls) Set(s string) error {
	*u = append(*u, s)
	return nil
}

// serve runs one service until ctx ends.
func serve(ctx context.Context, args []string, out io.Writer) (bool, error) {
	var s service
	var calls urls
	var listen string
	flags := flagSet("serve")
	flags.StringVar(&s.name, "service", "", "name that answers carry")
	flags.StringVar(&s.version, "version", "v1", "version that answers carry")
	flags.StringVar(&listen, "listen", ":9080", "address to serve on")
	flags.Var(&calls, "call", "URL to call for each request, with {id} for the last part of the path; may be repeated")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if s.name == "" {
		return false, errors.New("--service: want a name")
	}
	// A connection for each call: net/http sends a request again in silence when
	// a kept one breaks, and nothing here may hide a failure.
	s.calls, s.client = calls, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	s.pod, _ = os.LookupEnv("POD_NAME")
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return false, fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(out, "%s %s serves on %s\n", s.name, s.version, l.Addr())
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return false, err
	}
	return true, nil
}
