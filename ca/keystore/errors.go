package keystore

import "errors"

var (
	// ErrNoKEK: there is no key-encryption key.
	ErrNoKEK = errors.New("no key-encryption key: make one with `ensign kek new`, keep it outside the data folder, and name it with --kek")
	// ErrKEKPlace: the key-encryption key lies where it protects nothing.
	ErrKEKPlace = errors.New("key-encryption key is not safe where it is")
	// ErrBadKEK: the text is not a key-encryption key.
	ErrBadKEK = errors.New("a key-encryption key is 32 bytes in base64: make one with `ensign kek new`")
	// ErrWrongKEK: the secret was sealed with another key-encryption key.
	ErrWrongKEK = errors.New("sealed with another key-encryption key")
	// ErrDamaged: the sealed file was changed, cut short, or renamed.
	ErrDamaged = errors.New("sealed file is damaged or belongs to another name: restore it from a backup")
)
