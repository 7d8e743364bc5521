package agent

import (
	"math"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/connections"
)

// maxText is the longest free text of a report, in bytes.
const maxText = 1 << 10

var cutMethods = map[connections.Method]ensignv1.CutMethod{
	connections.MethodPIDFD:   ensignv1.CutMethod_CUT_METHOD_PIDFD,
	connections.MethodDestroy: ensignv1.CutMethod_CUT_METHOD_SOCK_DESTROY,
	connections.MethodDrain:   ensignv1.CutMethod_CUT_METHOD_DRAIN,
	connections.MethodNone:    ensignv1.CutMethod_CUT_METHOD_NONE,
}

// orders is what of a CutOff live connections are held against.
func orders(cutOff *ensignv1.CutOff) connections.Orders {
	o := connections.Orders{Revision: cutOff.GetRevision(), Identities: cutOff.GetIdentities()}
	for _, c := range cutOff.GetCertificates() {
		o.Certificates = append(o.Certificates, c.GetFingerprint())
	}
	for _, issuer := range cutOff.GetIssuers() {
		o.Issuers = append(o.Issuers, issuer.GetSubject())
	}
	for _, port := range cutOff.GetSilentPorts() {
		if port > 0 && port <= math.MaxUint16 {
			o.SilentPorts = append(o.SilentPorts, uint16(port))
		}
	}
	return o
}

// sighting is the wire's form of one.
func sighting(s connections.Sighting) *ensignv1.Sighting {
	return &ensignv1.Sighting{
		Fingerprint: s.Fingerprint, SpiffeId: s.SPIFFEID, Serial: s.Serial, IssuerSubject: s.IssuerSubject,
		NotBefore: timestamppb.New(s.NotBefore), NotAfter: timestamppb.New(s.NotAfter), SeenAt: timestamppb.New(s.SeenAt),
		Inbound: s.Inbound,
	}
}

// cutText keeps what fits a report.
func cutText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}
