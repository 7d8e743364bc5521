package vault

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// watchEvery is how often is asked whether Vault is well again, while it is not.
	watchEvery = 5 * time.Second
	// lookEach is after how many of these Vault is looked after though all is well: nobody
	// else may ask it for days.
	lookEach = 6
)

// watch looks whether Vault is there, so that people hear before the next issuer is due.
// Where it signs leaves it also asks, while the last was not signed, whether one would be
// now: who is known as unwell may be asked for nothing.
func (p *Place) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if failing := p.daily.health.failing(); failing || n%lookEach == 0 {
			p.daily.look(ctx)
			if failing && p.cfg.Role != "" {
				p.ask(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks Vault how it is, which needs no token. What a proxy before it refuses says
// nothing about it.
func (c *client) look(ctx context.Context) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var answer *api.HealthResponse
	_, err := c.ask("", func(lib *api.Client) (*api.Secret, error) {
		lib.ClearNamespace() // it is Vault's, and no namespace's
		var err error
		answer, err = lib.Sys().HealthWithContext(ctx)
		if refused := (*api.ResponseError)(nil); errors.As(err, &refused) && refused.StatusCode < http.StatusInternalServerError {
			return nil, nil
		}
		if err == nil && (answer.Sealed || !answer.Initialized) {
			return nil, errSealedNow
		}
		return nil, err
	})
	c.health.seen(err, time.Now())
}

// ask makes one request that needs Vault and a token: if it goes well, so may the next leaf.
func (p *Place) ask(ctx context.Context) {
	ctx, cancel := p.daily.bounded(ctx)
	defer cancel()
	if _, err := p.daily.readAs(ctx, "auth/token/lookup-self"); err == nil {
		p.daily.health.recovered()
	}
}
