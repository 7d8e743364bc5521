package ca

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

var (
	oidExtensionRequest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14} // RFC 2985 §5.4.2
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}                // RFC 5280 §4.2.1.6
)

// tagURI is the GeneralName choice uniformResourceIdentifier (RFC 5280 §4.2.1.6).
const tagURI = 6

// requestInfo is CertificationRequestInfo (RFC 2986 §4.1). It is read once more
// because x509 drops the attributes that it does not know.
type requestInfo struct {
	Raw        asn1.RawContent
	Version    int
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Attributes []attribute `asn1:"tag:0,set"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// checkAttributes allows at most one extension request and nothing beside it.
func checkAttributes(tbs []byte) error {
	var info requestInfo
	rest, err := asn1.Unmarshal(tbs, &info)
	if err != nil {
		return refuse(ReasonAttribute, "attributes are not readable")
	}
	if len(rest) != 0 {
		return refuse(ReasonTrailing, "%d bytes inside the request", len(rest))
	}
	for i, a := range info.Attributes {
		if i > 0 || !a.Type.Equal(oidExtensionRequest) {
			return refuse(ReasonAttribute, "attribute %s is not allowed, only one extension request", a.Type)
		}
		if len(a.Values) != 1 {
			return refuse(ReasonAttribute, "extension request with %d values, not one", len(a.Values))
		}
	}
	return nil
}

// requestedURI is the one URI of the SAN; "" without a SAN.
func requestedURI(extensions []pkix.Extension) (string, error) {
	if len(extensions) == 0 {
		return "", nil
	}
	if len(extensions) != 1 || !extensions[0].Id.Equal(oidSubjectAltName) {
		return "", refuse(ReasonExtension, "extensions %v are asked for, only a subjectAltName (%s) is allowed",
			extensionIDs(extensions), oidSubjectAltName)
	}
	// The names are read here because x509 leaves out those it does not know.
	var names []asn1.RawValue
	rest, err := asn1.Unmarshal(extensions[0].Value, &names)
	if err != nil || len(rest) != 0 {
		return "", refuse(ReasonMalformed, "subjectAltName is not readable")
	}
	if len(names) != 1 || names[0].Class != asn1.ClassContextSpecific || names[0].Tag != tagURI || names[0].IsCompound {
		return "", refuse(ReasonForeignName, "subjectAltName must hold the caller's SPIFFE ID as its one URI and nothing else")
	}
	if len(names[0].Bytes) == 0 {
		return "", refuse(ReasonForeignName, "subjectAltName holds an empty URI")
	}
	return string(names[0].Bytes), nil
}

func extensionIDs(extensions []pkix.Extension) []string {
	ids := make([]string, len(extensions))
	for i, e := range extensions {
		ids[i] = e.Id.String()
	}
	return ids
}
