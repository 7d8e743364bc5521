// Command ensignd is Ensign's control plane: CA, SDS roots and xDS.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ensign-mesh/ensign/internal/daemon"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(daemon.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
