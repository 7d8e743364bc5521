package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// echo answers each line with the same line, over plain TCP, until ctx ends.
func echo(ctx context.Context, args []string, out io.Writer) (bool, error) {
	var listen string
	flags := flagSet("echo")
	flags.StringVar(&listen, "listen", ":7000", "address to serve on")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return false, fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(out, "echo serves on %s\n", l.Addr())
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if _, err := fmt.Fprintln(conn, lines.Text()); err != nil {
					return
				}
			}
		}()
	}
}
