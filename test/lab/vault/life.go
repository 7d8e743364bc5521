package vault

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// Begin runs it for the first time, initialises and unseals it.
func (v *Vault) Begin(ctx context.Context) error {
	if err := v.run(ctx); err != nil {
		return err
	}
	made, err := v.API.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return fmt.Errorf("initialising vault: %w", err)
	}
	v.unseal = made.Keys[0]
	v.API.SetToken(made.RootToken)
	return v.Unseal(ctx)
}

// Start runs it again after it was killed, sealed as any Vault that starts, and unseals it.
func (v *Vault) Start(ctx context.Context) error {
	if err := v.run(ctx); err != nil {
		return err
	}
	return v.Unseal(ctx)
}

func (v *Vault) run(ctx context.Context) error {
	process, err := v.cfg.Start(v.cfg.Binary, "server", "-config", v.config())
	if err != nil {
		return fmt.Errorf("starting vault: %w", err)
	}
	v.process = process
	return v.until(ctx, func(*api.HealthResponse) bool { return true })
}

// Kill ends it without a word.
func (v *Vault) Kill() error {
	if err := v.process.Kill(); err != nil {
		return fmt.Errorf("killing vault: %w", err)
	}
	return nil
}

// Restart kills it, starts it again and unseals it.
func (v *Vault) Restart(ctx context.Context) error {
	if err := v.Kill(); err != nil {
		return err
	}
	return v.Start(ctx)
}

// Destroy kills it and deletes all that it kept.
func (v *Vault) Destroy() error {
	if err := v.Kill(); err != nil {
		return err
	}
	return os.RemoveAll(v.storage())
}

// Seal seals it: it answers nothing but that it is sealed.
func (v *Vault) Seal(ctx context.Context) error {
	if err := v.API.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("sealing vault: %w", err)
	}
	return nil
}

// Unseal unseals it and returns when it takes requests.
func (v *Vault) Unseal(ctx context.Context) error {
	if _, err := v.API.Sys().UnsealWithContext(ctx, v.unseal); err != nil {
		return fmt.Errorf("unsealing vault: %w", err)
	}
	return v.until(ctx, func(h *api.HealthResponse) bool { return h.Initialized && !h.Sealed && !h.Standby })
}

// until asks for its health until that is as it should be.
func (v *Vault) until(ctx context.Context, ready func(*api.HealthResponse) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		health, err := v.API.Sys().HealthWithContext(ctx)
		if err == nil && ready(health) {
			return nil
		}
		select {
		case <-v.process.Done():
			return fmt.Errorf("vault has ended:\n%s", v.process.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waiting for vault: %w (last: %w, %+v):\n%s", ctx.Err(), err, health, v.process.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
