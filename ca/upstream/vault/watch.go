package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// watchEvery is how often is asked whether Vault is well again, while it is not.
	watchEvery = 5 * time.Second
	// lookEach is after how many of these Vault is looked after though all is well, since
	// nobody else may ask it for days; and after how many a denial is asked about, which
	// may take a login.
	lookEach = 6
)

// watch looks whether Vault is there, so that people hear before the next issuer is due,
// and whether what was not signed would be now: who is known as unwell may be asked for
// nothing.
func (p *Place) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		due := n%lookEach == 0
		if due || p.daily.health.failing() {
			p.daily.look(ctx)
		}
		if due {
			p.cure(ctx)
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

// cure forgets the denial of a signature that would be made now. Any other failure of an
// issuer ends with the CA's next try.
func (p *Place) cure(ctx context.Context) {
	for name, failed := range p.daily.health.unsigned() {
		if (errors.Is(failed.err, ErrDenied) || p.cfg.Role != "") && p.allowed(ctx, name) {
			p.daily.health.recovered(name, failed)
		}
	}
}

// errNotAllowed: the token's policies do not allow it.
var errNotAllowed = fmt.Errorf("%w: by its policies", ErrDenied)

// allowed asks whether the token may have a root sign, or one of a new login, which may
// have other policies. Where a policy does not let it ask, a token that is good will do:
// nothing else tells before the next signature.
func (p *Place) allowed(ctx context.Context, name string) bool {
	ctx, cancel := p.daily.bounded(ctx)
	defer cancel()
	path := p.signPath(name, p.cfg.Role)
	_, err := p.daily.withToken(ctx, func(token string) (*api.Secret, error) {
		answer, err := p.daily.post(ctx, token, "sys/capabilities-self", map[string]any{"paths": []string{path}})
		if err != nil {
			return nil, err
		}
		may, _ := answer.Data[path].([]any)
		if !slices.Contains(may, any("update")) && !slices.Contains(may, any("root")) {
			return nil, errNotAllowed
		}
		return answer, nil
	})
	if errors.Is(err, ErrDenied) && !errors.Is(err, errNotAllowed) {
		_, err = p.daily.readAs(ctx, "auth/token/lookup-self")
	}
	return err == nil
}

// signPath is where a root signs issuers, or leaves by a role.
func (p *Place) signPath(name, role string) string {
	path := p.cfg.Mount + "/issuer/" + name
	if role == "" {
		return path + "/sign-intermediate"
	}
	return path + "/sign/" + role
}
