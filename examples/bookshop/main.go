package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the exit code: 0 done, 1 not as it should be, 2 wrong use.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	verbs := map[string]func(context.Context, []string, io.Writer) (bool, error){
		"serve": serve,
		"echo":  echo,
		"load":  loadVerb,
		"watch": watch,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprintln(errs, "usage: bookshop serve|echo|load|watch [flags]\nexample: bookshop load --url http://storefront:9080/books/1 --count 100")
		return 2
	}
	ok, err := verbs[args[0]](ctx, args[1:], out)
	switch {
	case err != nil:
		fmt.Fprintln(errs, "bookshop:", err)
		return 2
	case !ok:
		return 1
	}
	return 0
}
