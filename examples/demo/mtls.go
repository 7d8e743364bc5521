package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// plaintext: the same request from outside, to a namespace of each kind.
func plaintext(ctx context.Context, s *scene) (string, error) {
	address := func(pod string) string { return fmt.Sprintf("http://%s:9080/books/1", s.Pod(pod).Net.IP) }
	strict := s.in(ctx, "outsider", "curl", "-sS", "--max-time", "5", address("storefront"))
	permissive := s.in(ctx, "outsider", "curl", "-sS", "--max-time", "5", address("catalog"))
	switch {
	case strict.Code == 0:
		return "", errors.New("plaintext was answered in the STRICT namespace")
	case permissive.Code != 0 || !strings.Contains(permissive.Output, `"caller": "nobody"`):
		return "", errors.New("plaintext was not answered in the PERMISSIVE namespace")
	}
	return "storefront (shop, STRICT) closed the connection; catalog (stock, PERMISSIVE) answered, and knows its caller as nobody", nil
}

// impostor: a pod with a certificate of its own takes the catalog's address. Only
// the reader is misled.
func impostor(ctx context.Context, s *scene) (reason string, err error) {
	genuine := s.in(ctx, "reader", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", books)
	if genuine.Output != "200" {
		return "", fmt.Errorf("the genuine catalog answered %s", genuine.Output)
	}
	reader := s.Pod("reader")
	before, err := reader.Stats(ctx)
	if err != nil {
		return "", err
	}
	done, restore, err := s.StealAddress(ctx, s.Pod("impostor"), s.Pod("catalog"), reader)
	for _, r := range done {
		s.show(r)
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, restore()) }()
	var answer lab.Result
	// The first request may find an old connection, which the thief's kernel resets.
	err = within(ctx, 10*time.Second, func() error {
		answer = reader.Exec(ctx, "curl", "-sS", "--max-time", "5", "-w", " %{http_code}", books)
		after, err := reader.Stats(ctx)
		if err != nil {
			return err
		}
		if after.Sum("ssl.fail_verify_san") == before.Sum("ssl.fail_verify_san") {
			return errors.New("no server was refused for its name")
		}
		return nil
	})
	s.show(answer)
	s.in(ctx, "reader", "bash", "-c", "curl -s '127.0.0.1:15000/stats?usedonly' | grep fail_verify_san")
	switch {
	case err != nil:
		return "", err
	case !strings.HasSuffix(answer.Output, "503") || strings.Contains(answer.Output, `"impostor"`):
		return "", errors.New("the impostor was not refused")
	}
	return "the impostor's certificate is genuine, but not the catalog's: the reader's Envoy refused it (fail_verify_san)", nil
}
