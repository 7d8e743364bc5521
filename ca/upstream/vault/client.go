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

// client asks Vault, with a token that it gets and keeps alive itself. It is safe
// for concurrent use.
type client struct {
	cfg     Config
	auth    Auth
	api     *api.Client
	metrics metrics
	health  health
	// turn guards held, and is taken with a context: a login crosses the network.
	turn chan struct{}
	held token
}

func newClient(cfg Config, auth Auth, m metrics) (*client, error) {
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
	return &client{cfg: cfg, auth: auth, api: lib, metrics: m, turn: make(chan struct{}, 1)}, nil
}

// bounded gives a call its time, whatever the caller's context allows.
func (c *client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// write posts with a token.
func (c *client) write(ctx context.Context, path string, body map[string]any) (*api.Secret, error) {
	return c.withToken(ctx, func(token string) (*api.Secret, error) { return c.post(ctx, token, path, body) })
}

// readAs reads with a token.
func (c *client) readAs(ctx context.Context, path string) (*api.Secret, error) {
	return c.withToken(ctx, func(token string) (*api.Secret, error) { return c.read(ctx, token, path) })
}

// withToken asks with a token. One that Vault does not take any more, since it was
// revoked for example, is replaced once by a new login.
func (c *client) withToken(ctx context.Context, request func(token string) (*api.Secret, error)) (*api.Secret, error) {
	held, err := c.token(ctx, "")
	if err != nil {
		return nil, err
	}
	answer, err := request(held)
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
	return request(fresh)
}

func (c *client) post(ctx context.Context, token, path string, body map[string]any) (*api.Secret, error) {
	return something(path)(c.ask(token, func(lib *api.Client) (*api.Secret, error) {
		return lib.Logical().WriteWithContext(ctx, path, body)
	}))
}

func (c *client) read(ctx context.Context, token, path string) (*api.Secret, error) {
	return something(path)(c.ask(token, func(lib *api.Client) (*api.Secret, error) {
		return lib.Logical().ReadWithContext(ctx, path)
	}))
}

// something refuses an answer without content.
func something(path string) func(*api.Secret, error) (*api.Secret, error) {
	return func(answer *api.Secret, err error) (*api.Secret, error) {
		if err == nil && answer == nil {
			err = fmt.Errorf("%w: nothing at %s", ErrAnswer, path)
		}
		return answer, err
	}
}

// ask makes one request, counts it and explains its error. Token "" is none; an
// answer of nil is one without content.
func (c *client) ask(token string, request func(*api.Client) (*api.Secret, error)) (*api.Secret, error) {
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
	err = explained(err)
	if errors.Is(err, ErrDenied) && token != "" {
		err = fmt.Errorf("%w: the token was revoked or has expired, or its policy does not allow this; see deploy/vault/README.md", err)
	}
	c.metrics.requests.WithLabelValues(outcome(err)).Inc()
	return answer, err
}

// refused counts an answer that was well-formed and not taken.
func (c *client) refused(err error) { c.metrics.requests.WithLabelValues(outcome(err)).Inc() }

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
