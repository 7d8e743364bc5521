package ca

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// keyring holds every issuer whose key is not lost and whose leaves can still be
// live: the one in force, those before it, and one on its way. It is safe for
// concurrent use.
type keyring struct {
	store IssuerStore
	mu    sync.RWMutex
	of    map[string]StoredIssuer // by serial
}

// openKeyring reads what the store holds. With an error it holds what could be read.
func openKeyring(store IssuerStore) (*keyring, error) {
	k := &keyring{store: store, of: map[string]StoredIssuer{}}
	found, err := store.LoadIssuers()
	for _, i := range found {
		k.of[i.Serial()] = i
	}
	return k, err
}

// keep makes an issuer durable.
func (k *keyring) keep(i StoredIssuer) error {
	if err := k.store.SaveIssuer(i); err != nil {
		return fmt.Errorf("keeping issuer %s: %w", i.Serial(), err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[i.Serial()] = i
	return nil
}

func (k *keyring) find(serial string) (StoredIssuer, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	i, ok := k.of[serial]
	return i, ok
}

func (k *keyring) all() []StoredIssuer {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := make([]StoredIssuer, 0, len(k.of))
	for _, i := range k.of {
		list = append(list, i)
	}
	return list
}

// prune deletes the keys of issuers that have expired: no leaf of theirs is
// believed, and nobody needs their CRL.
func (k *keyring) prune(now time.Time) error {
	var errs []error
	for _, i := range k.all() {
		if now.Before(i.Chain[0].NotAfter) {
			continue
		}
		if err := k.store.DeleteIssuer(i.Serial()); err != nil {
			errs = append(errs, fmt.Errorf("deleting the key of issuer %s: %w", i.Serial(), err))
			continue
		}
		k.mu.Lock()
		delete(k.of, i.Serial())
		k.mu.Unlock()
	}
	return errors.Join(errs...)
}
