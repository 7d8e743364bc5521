package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"go.step.sm/crypto/kms/apiv1"
)

// room is a place with the one call that is in it. A place may know no deadline (a
// PKCS#11 module does not): a call that takes too long is left behind, and nobody goes
// in before it has ended.
type room struct {
	place Place
	limit time.Duration
	log   *slog.Logger
	turn  chan struct{} // held by who is in

	// What follows belongs to who is in: the open place, or nil; its keys that signed or
	// were found, by name; and the PIN that it refused.
	manager apiv1.KeyManager
	live    map[string]crypto.Signer
	wrong   pin

	mu      sync.Mutex
	entered time.Time // when who is in went in; zero: nobody is
	trouble trouble   // of the place as a whole: a key that is not there is none
}

// enter does something in a room, in a goroutine of its own, and waits for it as long as
// a call may take. Who is not waited for any more goes on, and may yet succeed. Errors
// wrap [ErrHangs], or are ctx's.
func enter[T any](ctx context.Context, r *room, do func() (T, error)) (T, error) {
	var none T
	if err := r.hangs(); err != nil {
		return none, err
	}
	timer := time.NewTimer(r.limit)
	defer timer.Stop()
	select {
	case r.turn <- struct{}{}:
	case <-timer.C:
		return none, r.silent()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	type outcome struct {
		value T
		err   error
	}
	ended := make(chan outcome, 1)
	r.at(time.Now())
	go func() {
		value, err := do()
		r.at(time.Time{})
		<-r.turn
		ended <- outcome{value, err}
	}()
	select {
	case o := <-ended:
		return o.value, o.err
	case <-timer.C:
		return none, r.silent()
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (r *room) at(entered time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entered = entered
}

// hangs is nil unless who is in should be out long ago.
func (r *room) hangs() error {
	r.mu.Lock()
	entered := r.entered
	r.mu.Unlock()
	if entered.IsZero() || time.Since(entered) < r.limit {
		return nil
	}
	return r.silent()
}

func (r *room) silent() error {
	return fmt.Errorf("%w: %w: %s has not answered within %s and is asked nothing more until it does: "+
		"see after the module and what is behind it; if it is well and this stays, restart ensignd", ErrUnavailable, ErrHangs, r.place, r.limit)
}

// health is why no key could be made or found in the room now, and since when.
func (r *room) health() (time.Time, error) {
	if err := r.hangs(); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.entered, err
	}
	return r.trouble.now()
}

// open opens the place, or finds it open. As all below, it is called by who is in.
func (r *room) open(ctx context.Context) (apiv1.KeyManager, error) {
	if r.manager != nil {
		return r.manager, nil
	}
	m, err := r.connect(ctx)
	r.trouble.note(err)
	if err != nil {
		return nil, err
	}
	r.manager, r.live = m, map[string]crypto.Signer{}
	return m, nil
}

func (r *room) connect(ctx context.Context) (apiv1.KeyManager, error) {
	if err := built(r.place); err != nil {
		return nil, err
	}
	offered, err := r.pin()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	connect, _ := apiv1.LoadKeyManagerNewFunc(r.place.scheme)
	m, err := connect(ctx, apiv1.Options{Type: r.place.scheme, URI: r.place.text})
	if err != nil {
		if refusesPIN(err) {
			r.wrong = offered
		}
		return nil, fmt.Errorf("%w: opening %s: %w", ErrUnavailable, r.place, err)
	}
	return m, nil
}

// drop closes a place that failed, so that it is opened anew.
func (r *room) drop() {
	if r.manager == nil {
		return
	}
	if err := r.manager.Close(); err != nil {
		r.log.Warn("place of the root's key not closed", "place", r.place.text, "error", err)
	}
	r.manager, r.live = nil, nil
}

// find is a key of the place. One that was open and failed is opened anew, once: a module
// that was away in between is as good as before.
func (r *room) find(ctx context.Context, k *signer) (crypto.Signer, error) {
	for {
		open := r.manager != nil
		live, err := r.ask(ctx, k)
		if err == nil || !open || errors.Is(err, ErrOtherKey) {
			return live, err
		}
	}
}

func (r *room) ask(ctx context.Context, k *signer) (crypto.Signer, error) {
	manager, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	live, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: k.ref.Key})
	if err != nil {
		r.drop()
		return nil, fmt.Errorf("%w: finding %s in %s: %w", ErrUnavailable, k.ref.Key, r.place, err)
	}
	if !same(live.Public(), k.public) {
		return nil, fmt.Errorf("%w: %s in %s", ErrOtherKey, k.ref.Key, r.place)
	}
	r.live[k.ref.Key] = live
	return live, nil
}

// sign signs with a key of the place.
func (r *room) sign(ctx context.Context, k *signer, random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if live := r.live[k.ref.Key]; live != nil {
		if signature, err := live.Sign(random, digest, opts); err == nil {
			return signature, nil
		}
		r.drop()
	}
	live, err := r.find(ctx, k)
	if err != nil {
		return nil, err
	}
	signature, err := live.Sign(random, digest, opts)
	if err != nil {
		r.drop()
		return nil, fmt.Errorf("%w: signing by %s: %w", ErrUnavailable, k.ref.Key, err)
	}
	return signature, nil
}
