package connections

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	logv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
)

// Names of Envoy's logs: which side, and what the records are of.
const (
	LogInboundHTTP  = "inbound-http"
	LogInboundTCP   = "inbound-tcp"
	LogOutboundHTTP = "outbound-http"
	LogOutboundTCP  = "outbound-tcp"
)

// Custom tags of Envoy's records. Inbound they are of the downstream peer, with all
// of these; outbound of the upstream peer, without local and serial.
const (
	tagConnection  = "conn"        // CONNECTION_ID, UPSTREAM_CONNECTION_ID
	tagLocal       = "local"       // DOWNSTREAM_DIRECT_LOCAL_ADDRESS
	tagURI         = "peer_uri"    // …_PEER_URI_SAN
	tagIssuer      = "peer_issuer" // …_PEER_ISSUER
	tagFingerprint = "peer_fp"     // DOWNSTREAM_PEER_FINGERPRINT_256, CEL(upstream.sha256_peer_certificate_digest)
	tagSerial      = "peer_serial" // DOWNSTREAM_PEER_SERIAL
	tagStart       = "peer_start"  // …_PEER_CERT_V_START
	tagEnd         = "peer_end"    // …_PEER_CERT_V_END
)

// maxTag is the longest value of a tag, in bytes: a SPIFFE ID's.
const maxTag = 2 << 10

// record is what Envoy says of one connection.
type record struct {
	pair
	// number is Envoy's own, counting up over all connections of its process.
	number uint64
	name
	// ended: the connection is over.
	ended bool
}

// name is what Envoy tells of a peer's certificate, in its words.
type name struct {
	inbound                                        bool
	uri, issuer, fingerprint, serial, start, until string
}

var errRecord = errors.New("record of Envoy's log")

// parseRecord reads one record; false if it is of a peer without a certificate.
func parseRecord(inbound bool, c *logv3.AccessLogCommon) (record, bool, error) {
	tags := c.GetCustomTags()
	r := record{name: name{
		inbound: inbound, uri: value(tags, tagURI), issuer: value(tags, tagIssuer),
		fingerprint: value(tags, tagFingerprint), serial: strings.TrimLeft(value(tags, tagSerial), "0"), // Envoy writes whole bytes
		start: value(tags, tagStart), until: value(tags, tagEnd),
	}, ended: c.GetAccessLogType() == logv3.AccessLogType_TcpConnectionEnd}
	if r.uri == "" && r.issuer == "" && r.fingerprint == "" {
		return record{}, false, nil
	}
	if r.fingerprint == "" {
		return record{}, false, fmt.Errorf("%w: its peer's certificate has no fingerprint", errRecord)
	}
	for _, tag := range []string{r.uri, r.issuer, r.fingerprint, r.serial, r.start, r.until} {
		if len(tag) > maxTag {
			return record{}, false, fmt.Errorf("%w: a tag has %d bytes, at most %d", errRecord, len(tag), maxTag)
		}
	}
	var err error
	if r.number, err = strconv.ParseUint(value(tags, tagConnection), 10, 64); err != nil {
		return record{}, false, fmt.Errorf("%w: its connection has no number", errRecord)
	}
	r.pair, err = ends(inbound, c)
	return r, err == nil, err
}

// value is a tag's; Envoy writes "-" for what there is not.
func value(tags map[string]string, tag string) string {
	if v := tags[tag]; v != "-" {
		return v
	}
	return ""
}

// ends are those of the socket. Of a client it is the address that it really has:
// what downstream_remote_address holds may come from its x-forwarded-for.
func ends(inbound bool, c *logv3.AccessLogCommon) (pair, error) {
	if !inbound {
		local, err := addressOf(c.GetUpstreamLocalAddress())
		remote, errRemote := addressOf(c.GetUpstreamRemoteAddress())
		return newPair(local, remote), errors.Join(err, errRemote)
	}
	local, err := netip.ParseAddrPort(value(c.GetCustomTags(), tagLocal))
	if err != nil {
		return pair{}, fmt.Errorf("%w: its connection has no local address", errRecord)
	}
	remote, err := addressOf(c.GetDownstreamDirectRemoteAddress())
	return newPair(local, remote), err
}

func addressOf(a *corev3.Address) (netip.AddrPort, error) {
	s := a.GetSocketAddress()
	addr, err := netip.ParseAddr(s.GetAddress())
	if err != nil || s.GetPortValue() == 0 || s.GetPortValue() > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%w: its connection has no IP address and port", errRecord)
	}
	return netip.AddrPortFrom(addr, uint16(s.GetPortValue())), nil
}

// life is when the certificate begins and ends.
func (n name) life() (notBefore, notAfter time.Time, err error) {
	if notBefore, err = time.Parse(time.RFC3339, n.start); err == nil {
		notAfter, err = time.Parse(time.RFC3339, n.until)
	}
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("%w: the peer's certificate has no life", errRecord)
	}
	return notBefore, notAfter, nil
}
