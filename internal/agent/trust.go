package agent

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/ensign-mesh/ensign/sds"
)

const (
	maxBundleBytes = 1 << 20
	maxTokenBytes  = 64 << 10
)

// trustFile is the bundle file that the agent was given.
type trustFile string

// roots reads the file again.
func (f trustFile) roots() ([]*x509.Certificate, error) {
	text, err := readLimited(string(f), maxBundleBytes)
	if err != nil {
		return nil, fmt.Errorf("reading trust bundle: %w", err)
	}
	roots, err := sds.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("reading trust bundle %s: %w", f, err)
	}
	return roots, nil
}

// tokenFile holds a bearer token, as a projected volume does.
type tokenFile string

// token reads the file again. Errors never hold its content.
func (f tokenFile) token() (string, error) {
	text, err := readLimited(string(f), maxTokenBytes)
	if err != nil {
		return "", fmt.Errorf("reading token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("reading token %s: it does not hold one token", f)
	}
	return token, nil
}
