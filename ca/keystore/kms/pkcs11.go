//go:build cgo

package kms

// A module is a shared library, which only a program with cgo can load.
import _ "go.step.sm/crypto/kms/pkcs11"
