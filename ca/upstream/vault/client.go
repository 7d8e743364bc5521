package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/hashicorp/vault/api"
)

// maxAnswer bounds what Vault may answer, in bytes: a chain of some certificates
// is a hundredth of it.
const maxAnswer = 256 << 10

var errTooLarge = fmt.Errorf("over %d bytes", maxAnswer)

// Client asks Vault, with a token that it gets and keeps alive itself. It is safe
// for concurrent use.
type Client struct {
	cfg     Config
	api     *api.Client
	metrics metrics
	// turn guards held, and is taken with a context: a login crosses the network.
	turn chan struct{}
	held token
}

// NewClient checks the configuration. It does not ask Vault yet.
func NewClient(cfg Config) (*Client, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	lib, err := api.NewClient(&api.Config{
		Address: cfg.Address,
		HttpClient: &http.Client{
			Transport: limited{transport},
			// The library follows one redirect, a standby's to the active Vault, and never to plain http.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Timeout: cfg.Timeout,
		// Who waits tries again, and says so: nothing is repeated behind their back.
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) { return false, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of vault: %w", err)
	}
	return &Client{cfg: cfg, api: lib, metrics: newMetrics(cfg.Metrics), turn: make(chan struct{}, 1)}, nil
}

// bounded gives a call its time, whatever the caller's context allows.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// write posts with a token. One that Vault does not take any more, since it was
// revoked for example, is replaced once by a new login.
func (c *Client) write(ctx context.Context, path string, body map[string]any) (*api.Secret, error) {
	held, err := c.token(ctx, "")
	if err != nil {
		return nil, err
	}
	answer, err := c.post(ctx, held, path, body)
	if !errors.Is(err, ErrDenied) {
		return answer, err
	}
	fresh, loginErr := c.token(ctx, held)
	if loginErr != nil {
		return nil, errors.Join(err, loginErr)
	}
	if fresh == held {
		return nil, err
	}
	return c.post(ctx, fresh, path, body)
}

func (c *Client) post(ctx context.Context, token, path string, body map[string]any) (*api.Secret, error) {
	return c.ask(token, path, func(lib *api.Client) (*api.Secret, error) {
		return lib.Logical().WriteWithContext(ctx, path, body)
	})
}

func (c *Client) read(ctx context.Context, token, path string) (*api.Secret, error) {
	return c.ask(token, path, func(lib *api.Client) (*api.Secret, error) {
		return lib.Logical().ReadWithContext(ctx, path)
	})
}

// ask makes one request, counts it and explains its error. Token "" is none.
func (c *Client) ask(token, path string, request func(*api.Client) (*api.Secret, error)) (*api.Secret, error) {
	// A copy, with a token and a namespace that no environment variable chose.
	lib, err := c.api.Clone()
	if err != nil {
		return nil, fmt.Errorf("making a client of vault: %w", err)
	}
	lib.SetToken(token)
	lib.SetNamespace(c.cfg.Namespace)
	if c.cfg.Namespace == "" {
		lib.ClearNamespace()
	}
	answer, err := request(lib)
	if err = explained(err); err == nil && answer == nil {
		err = fmt.Errorf("%w: nothing at %s", ErrAnswer, path)
	}
	c.metrics.requests.WithLabelValues(outcome(err)).Inc()
	return answer, err
}

// limited refuses answers over maxAnswer.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &limitedBody{answer.Body, maxAnswer}
	}
	return answer, err
}

type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
