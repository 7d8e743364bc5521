// Ensign-agent runs beside one Envoy: it makes the workload's key, gets its
// certificate, serves both to Envoy and relays Envoy's configuration stream.
// Package internal/agent holds all of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ensign-mesh/ensign/internal/agent"
)

func main() {
	config, err := parse(os.Args[1:], os.Stdout)
	if errors.Is(err, errHelp) {
		return
	}
	code := 2
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		defer stop()
		code, err = agent.Run(ctx, config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ensign-agent:", err)
	}
	if errors.Is(err, agent.ErrConfig) {
		code = 2
	}
	os.Exit(code)
}
