package sds

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Limits on an answer: generous for a bundle in rotation, far from what hurts.
const (
	maxAnswerBytes = 512 << 10
	maxAnswerCerts = 64
)

// expectation is what an answer must fit.
type expectation struct {
	key         *ecdsa.PrivateKey
	trustDomain spiffeid.TrustDomain
	// namespace is the pod's; "" means any.
	namespace string
	// id is the one of earlier SVIDs; zero before the first.
	id  spiffeid.ID
	now time.Time
}

// accept makes an SVID of an answer in the form of Istio's CSR RPC: the leaf,
// its issuers, and all roots in the last element; PEM throughout. Whether its roots
// are believed is for [Roots] to say.
func (e expectation) accept(answer []string) (*SVID, error) {
	chain, roots, err := parseAnswer(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	id, err := e.checkLeaf(chain[0])
	if err == nil {
		err = verifyChain(chain, roots, e.now)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return &SVID{ID: id, Chain: chain, Roots: roots, Received: e.now, key: e.key}, nil
}

func (e expectation) checkLeaf(leaf *x509.Certificate) (spiffeid.ID, error) {
	if !e.key.PublicKey.Equal(leaf.PublicKey) {
		return spiffeid.ID{}, errors.New("the leaf is for another key")
	}
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return spiffeid.ID{}, errors.New("the leaf is no workload certificate")
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if !slices.Contains(leaf.ExtKeyUsage, usage) {
			return spiffeid.ID{}, errors.New("the leaf is not for both sides of TLS")
		}
	}
	if len(leaf.URIs) != 1 {
		return spiffeid.ID{}, fmt.Errorf("the leaf has %d URI SANs, want 1", len(leaf.URIs))
	}
	id, err := spiffeid.FromURI(leaf.URIs[0])
	if err != nil {
		return spiffeid.ID{}, err
	}
	return id, e.checkID(id)
}

func (e expectation) checkID(id spiffeid.ID) error {
	switch {
	case !id.MemberOf(e.trustDomain):
		return fmt.Errorf("%s is outside of trust domain %s", id, e.trustDomain)
	case e.namespace != "" && !strings.HasPrefix(id.Path(), "/ns/"+e.namespace+"/sa/"):
		return fmt.Errorf("%s is not of namespace %s, where the pod is", id, e.namespace)
	case !e.id.IsZero() && id != e.id:
		return fmt.Errorf("%s is not %s, which this workload has been until now", id, e.id)
	}
	return nil
}

func verifyChain(chain, roots []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, issuer := range chain[1:] {
		options.Intermediates.AddCert(issuer)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return fmt.Errorf("verifying chain (is this machine's clock, %s, right?): %w", now.UTC().Format(time.RFC3339), err)
	}
	return nil
}

func overlap(a, b []*x509.Certificate) bool {
	return slices.ContainsFunc(a, func(x *x509.Certificate) bool { return slices.ContainsFunc(b, x.Equal) })
}

func parseAnswer(answer []string) (chain, roots []*x509.Certificate, err error) {
	size := 0
	for _, element := range answer {
		size += len(element)
	}
	if len(answer) < 2 || len(answer) > maxAnswerCerts || size > maxAnswerBytes {
		return nil, nil, fmt.Errorf("%d elements of %d bytes in all, want a leaf and roots in at most %d of at most %d", len(answer), size, maxAnswerCerts, maxAnswerBytes)
	}
	last := len(answer) - 1
	if chain, err = ParseCertificates([]byte(strings.Join(answer[:last], "\n"))); err != nil {
		return nil, nil, fmt.Errorf("reading chain: %w", err)
	}
	if roots, err = ParseCertificates([]byte(answer[last])); err != nil {
		return nil, nil, fmt.Errorf("reading roots: %w", err)
	}
	return chain, roots, authorities(roots)
}

// ParseCertificates reads PEM certificates, at least one and at most 64. Text
// before a block is skipped, as PEM has it; any other kind of block, a broken one,
// or text after the last is an error.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := text; len(strings.TrimSpace(string(rest))) > 0; {
		block, next := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("not a PEM certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if certs = append(certs, cert); len(certs) > maxAnswerCerts {
			return nil, fmt.Errorf("more than %d certificates", maxAnswerCerts)
		}
		rest = next
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate")
	}
	return certs, nil
}
