// Package ca turns a proven identity and a public key into a certificate.
package ca
