// Package kms keeps the keys of built-in roots where they cannot be copied: in a
// hardware module (PKCS#11) or in a cloud's key management, by go.step.sm/crypto.
//
// A [Place] is named by a URI; keys are made there and never leave. What is kept on
// disk, sealed, is a reference: which key in which place, and its public half, so that
// another key in its stead is seen. A reference is written before its key is made; a
// crash in between costs at most a key that nobody uses.
//
//	place, err := kms.Parse("pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=ensign?pin-source=/etc/ensign/pin")
//	keys, err := kms.Open(ctx, kms.Config{Place: place, Keys: sealed, References: sealed, Logger: log})
//	key, err := keys.EnsureKey("root", nil)
//
// Keys that were sealed in files before there was a place stay there, and are read
// from there: the way into a module is a rotation of the root. With the zero Place new
// keys are sealed in files, too.
//
// Reading a key asks nobody: the place is opened when the key first signs, and again
// after it failed. So ensignd starts while a module is away, and what it then lacks is
// the next issuer only. Every call into a place ends within [Config].Timeout: one that
// does not is left behind, and until the place has answered nobody else asks it, but hears
// [ErrHangs] at once. [Store.Run] looks now and then, so that a key's Healthy knows.
//
// PKCS#11 is tested with SoftHSM. It needs cgo: a static build says so. The clouds
// (awskms:, azurekms:, cloudkms:) were NOT verified against a real cloud; a program
// that wants them imports their clients, as internal/daemon does. They take their
// credentials as their own tools do, from the environment or the machine.
package kms
