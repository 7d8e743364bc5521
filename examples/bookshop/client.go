package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// planFlags are the flags that both client verbs share.
func planFlags(verb string, args []string, p *load.Plan) error {
	flags := flagSet(verb)
	flags.StringVar(&p.URL, "url", "", "what to ask for, http://HOST:PORT/PATH")
	flags.StringVar(&p.Method, "method", "GET", "HTTP method")
	flags.StringVar(&p.Host, "host", "", "Host header, when it is not the URL's")
	flags.BoolVar(&p.Fresh, "fresh", false, "a new connection for each request")
	flags.IntVar(&p.Workers, "workers", 1, "how many requests at the same time")
	flags.Float64Var(&p.Rate, "rate", 0, "requests a second (0: as fast as answers come)")
	flags.IntVar(&p.Count, "count", 0, "end after so many requests")
	flags.DurationVar(&p.For, "for", 0, "end after so long")
	flags.DurationVar(&p.Timeout, "timeout", 5*time.Second, "for one request")
	flags.Func("header", "NAME=VALUE to send; may be repeated", headerFlag(p))
	return flags.Parse(args)
}

// loadVerb prints a report; it holds when every answer was 200.
func loadVerb(ctx context.Context, args []string, out io.Writer) (bool, error) {
	p := load.Plan{Name: version}
	if err := planFlags("load", args, &p); err != nil {
		return false, err
	}
	report, err := load.Run(ctx, p)
	if err != nil {
		return false, err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return report.Failed == 0 && report.Sent > 0, enc.Encode(report)
}

// version names an answer by who gave it, as "reviews v2".
func version(body []byte) string {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return "not from the bookshop"
	}
	return a.Service + " " + a.Version
}

// watch holds one connection, asks again and again, and prints a line whenever
// the answer changes or the connection had to be opened anew.
func watch(ctx context.Context, args []string, out io.Writer) (bool, error) {
	p := load.Plan{}
	if err := planFlags("watch", args, &p); err != nil {
		return false, err
	}
	if p.Rate <= 0 {
		p.Rate = 50
	}
	if p.For <= 0 {
		return false, errors.New("--for: want a duration, as 5s")
	}
	ctx, cancel := context.WithTimeout(ctx, p.For)
	defer cancel()
	client, err := load.NewClient(p)
	if err != nil {
		return false, err
	}
	defer client.Close()
	last := ""
	for n := 1; ctx.Err() == nil; n++ {
		a, err := client.Do(context.Background())
		line := fmt.Sprintf("status %d on connection %d", a.Status, client.Opened)
		if err != nil {
			line = fmt.Sprintf("error on connection %d: %v", client.Opened, err)
		}
		if line != last {
			fmt.Fprintf(out, "%s request %d: %s\n", time.Now().UTC().Format("15:04:05.000"), n, line)
			last = line
		}
		wait(ctx, time.Duration(float64(time.Second)/p.Rate))
	}
	return true, nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
