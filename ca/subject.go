package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Choices of GeneralName beside tagURI (RFC 5280 §4.2.1.6).
const (
	tagDNS = 2
	tagIP  = 7
)

// subject is who a leaf is for, and for what: decided before anything is signed.
type subject struct {
	key    crypto.PublicKey
	spki   []byte // DER of key
	csr    []byte // DER of the request for key
	usages []x509.ExtKeyUsage
	// san is the SAN extension as it must come out; it is encoded here and not
	// by x509, so that the two are checked against one another.
	san []byte
	// name writes the same names into a template.
	name func(template *x509.Certificate)
}

// workload is the subject of an SVID. Nothing of the request but its key is in it.
func workload(id spiffeid.ID, csr CSR) (subject, error) {
	san, err := encodeNames(generalName(tagURI, []byte(id.String())))
	return subject{
		key: csr.key, spki: csr.spki, csr: csr.raw, san: san,
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		name:   func(t *x509.Certificate) { t.URIs = []*url.URL{id.URL()} },
	}, err
}

// server is the subject of the control plane's own certificate. It has no
// SPIFFE ID and is of no use to a TLS client.
func server(csr CSR, dns []string, ips []net.IP) (subject, error) {
	var names []asn1.RawValue
	for _, n := range dns {
		names = append(names, generalName(tagDNS, []byte(n)))
	}
	for _, ip := range ips {
		names = append(names, generalName(tagIP, ip))
	}
	san, err := encodeNames(names...)
	return subject{
		key: csr.key, spki: csr.spki, csr: csr.raw, san: san,
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		name:   func(t *x509.Certificate) { t.DNSNames, t.IPAddresses = dns, ips },
	}, err
}

func generalName(tag int, value []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: value}
}

func encodeNames(names ...asn1.RawValue) ([]byte, error) {
	der, err := asn1.Marshal(names)
	if err != nil {
		return nil, fmt.Errorf("encoding names: %w", err)
	}
	return der, nil
}
