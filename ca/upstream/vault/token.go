package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	firstBackoff = time.Second
	lastBackoff  = 5 * time.Minute
	// look is how often a token is looked after at least, also one without an end.
	look = time.Hour
)

// token is one that Vault gave, with its life.
type token struct {
	secret string
	// life is how long it was given for; 0 is without end.
	life    time.Duration
	expires time.Time // by the wall clock
	renews  bool
}

func (t token) usable(now time.Time) bool {
	return t.secret != "" && (t.life == 0 || now.Before(t.expires))
}

// lookAfter is when to renew: at half of the life, so that Vault may be away for
// as long again.
func (t token) lookAfter(now time.Time) time.Duration {
	switch {
	case !t.usable(now):
		return 0
	case t.life == 0:
		return look
	}
	return min(max(0, t.expires.Sub(now)-t.life/2), look)
}

// take waits for the turn.
func (c *client) take(ctx context.Context) (release func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: a login is under way: %w", ErrUnreachable, ctx.Err())
	}
}

// token is one that is usable now and not spent. It logs in if need be.
func (c *client) token(ctx context.Context, spent string) (string, error) {
	release, err := c.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if c.held.usable(time.Now()) && c.held.secret != spent {
		return c.held.secret, nil
	}
	err = c.login(ctx)
	if err == nil || !c.held.usable(time.Now()) {
		c.health.loggedIn(err, time.Now())
	}
	return c.held.secret, err
}

// login replaces the token. The caller has the turn. What Vault denied may be one of many
// things that the token is good for, and the credentials for another may be used up: so it
// is kept when there is no other, unless Vault does not know it any more.
func (c *client) login(ctx context.Context) error {
	got, err := c.another(ctx)
	if err == nil {
		c.hold(got)
		return nil
	}
	if c.held.usable(time.Now()) {
		if _, gone := c.lookup(ctx, c.held.secret); !errors.Is(gone, ErrDenied) {
			return err
		}
	}
	c.hold(token{})
	return err
}

// another is a token of a new login.
func (c *client) another(ctx context.Context) (token, error) {
	way, err := c.auth.login()
	if err != nil {
		return token{}, err
	}
	var got token
	if way.token != "" {
		got, err = c.lookup(ctx, way.token)
	} else {
		got, err = c.exchange(ctx, way)
	}
	if errors.Is(err, ErrDenied) || errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w; %s", err, way.cure)
	}
	if err != nil {
		return token{}, fmt.Errorf("logging in to vault: %w", err)
	}
	return got, nil
}

// exchange gets a token for other credentials.
func (c *client) exchange(ctx context.Context, way login) (token, error) {
	answer, err := c.post(ctx, "", way.path, way.body)
	if err != nil {
		return token{}, err
	}
	return fromAuth(answer.Auth, time.Now())
}

// lookup is a token that somebody else got.
func (c *client) lookup(ctx context.Context, secret string) (token, error) {
	answer, err := c.read(ctx, secret, "auth/token/lookup-self")
	if err != nil {
		return token{}, err
	}
	seconds, ok := answer.Data["ttl"].(json.Number)
	life, err := seconds.Int64()
	if !ok || err != nil || life < 0 {
		return token{}, fmt.Errorf("%w: token of life %v", ErrAnswer, answer.Data["ttl"])
	}
	renews, _ := answer.Data["renewable"].(bool)
	return newToken(secret, int(min(life, math.MaxInt32)), renews, time.Now()), nil
}

func fromAuth(auth *api.SecretAuth, now time.Time) (token, error) {
	if auth == nil || auth.ClientToken == "" || auth.LeaseDuration < 0 {
		return token{}, fmt.Errorf("%w: it holds no token", ErrAnswer)
	}
	return newToken(auth.ClientToken, auth.LeaseDuration, auth.Renewable, now), nil
}

func newToken(secret string, seconds int, renews bool, now time.Time) token {
	life := time.Duration(seconds) * time.Second
	return token{secret: secret, life: life, expires: now.Add(life).Round(0), renews: renews}
}

func (c *client) hold(t token) {
	c.held = t
	c.health.holds(t)
	switch {
	case t.secret == "":
		c.metrics.expiry.Set(0)
	case t.life == 0:
		c.metrics.expiry.Set(math.Inf(1))
	default:
		c.metrics.expiry.Set(float64(t.expires.Unix()))
	}
}

// run logs in and keeps the token alive until the context ends, and returns nil
// then. Without it each call logs in when it finds that its token has expired.
func (c *client) run(ctx context.Context) error {
	backoff := firstBackoff
	for {
		wait, err := c.lookAfterToken(ctx)
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.WarnContext(ctx, "vault token not renewed", slog.Any("error", err), slog.Duration("retry_in", backoff))
			wait, backoff = backoff, min(2*backoff, lastBackoff)
		} else {
			backoff = firstBackoff
		}
		timer := time.NewTimer(max(wait, firstBackoff/4))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// lookAfterToken renews what is due, and says when to come again.
func (c *client) lookAfterToken(ctx context.Context) (time.Duration, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	release, err := c.take(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	if wait := c.held.lookAfter(time.Now()); wait > 0 && c.held.life != 0 {
		return wait, nil
	}
	err = c.renew(ctx)
	c.health.loggedIn(err, time.Now())
	if err != nil {
		return 0, err
	}
	return c.held.lookAfter(time.Now()), nil
}

// renew prolongs the token, or replaces it where it cannot be: what is not
// renewable, what Vault denies, and what has come to the end of its renewals.
func (c *client) renew(ctx context.Context) error {
	if !c.held.usable(time.Now()) || !c.held.renews {
		return c.login(ctx)
	}
	answer, err := c.post(ctx, c.held.secret, "auth/token/renew-self", nil)
	if errors.Is(err, ErrDenied) {
		return c.login(ctx)
	}
	if err != nil {
		return fmt.Errorf("renewing the token: %w", err)
	}
	got, err := fromAuth(answer.Auth, time.Now())
	if err != nil {
		return err
	}
	if got.life != 0 && got.life <= c.held.life/2 {
		return c.login(ctx)
	}
	c.hold(got)
	return nil
}
