// Command ensign asks and steers Ensign, the identity plane of the mesh.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ensign-mesh/ensign/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
