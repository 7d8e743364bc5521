package edge

import (
	"crypto/tls"
	"crypto/x509"
)

// Identity is what the server shows and believes at the moment of a handshake.
type Identity interface {
	// ServerCertificate is the certificate that the server proves itself with.
	ServerCertificate() (*tls.Certificate, error)
	// ClientRoots are the roots that client certificates must lead to.
	ClientRoots() *x509.CertPool
}

// TLSConfig demands TLS 1.2 and takes a client certificate if there is one. A
// certificate that does not verify ends the handshake. Sessions are never
// resumed: a resumed one would not look at the certificate's expiry again.
func TLSConfig(id Identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			certificate, err := id.ServerCertificate()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:             tls.VersionTLS12,
				NextProtos:             []string{"h2"},
				Certificates:           []tls.Certificate{*certificate},
				ClientAuth:             tls.VerifyClientCertIfGiven,
				ClientCAs:              id.ClientRoots(),
				SessionTicketsDisabled: true,
			}, nil
		},
	}
}
