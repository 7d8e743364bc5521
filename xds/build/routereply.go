package build

import (
	"net/http"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
)

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	http.StatusMovedPermanently:  routev3.RedirectAction_MOVED_PERMANENTLY,
	http.StatusFound:             routev3.RedirectAction_FOUND,
	http.StatusSeeOther:          routev3.RedirectAction_SEE_OTHER,
	http.StatusTemporaryRedirect: routev3.RedirectAction_TEMPORARY_REDIRECT,
	http.StatusPermanentRedirect: routev3.RedirectAction_PERMANENT_REDIRECT,
}

// redirect sends the client elsewhere; 301 unless it says another code that exists.
func redirect(in *networking.HTTPRedirect) *routev3.RedirectAction {
	out := &routev3.RedirectAction{
		HostRedirect: in.GetAuthority(), PortRedirect: in.GetPort(), ResponseCode: redirectCodes[in.GetRedirectCode()],
	}
	if in.GetUri() != "" {
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: in.GetUri()}
	}
	if in.GetScheme() != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.GetScheme()}
	}
	return out
}

// maxDirectResponse is Istio's limit on the body of a direct response, in bytes;
// Envoy refuses a whole configuration over a longer one.
const maxDirectResponse = 1 << 20

// directResponse answers in place of a server.
func directResponse(in *networking.HTTPDirectResponse) *routev3.DirectResponseAction {
	if len(in.GetBody().GetString_())+len(in.GetBody().GetBytes()) > maxDirectResponse {
		return unavailable("the body of the direct response is longer than 1 MiB")
	}
	out := &routev3.DirectResponseAction{Status: in.GetStatus()}
	switch body := in.GetBody().GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		out.Body = inlineString(body.String_)
	case *networking.HTTPBody_Bytes:
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: body.Bytes}}
	}
	return out
}

// unavailable answers 503 with the reason.
func unavailable(reason string) *routev3.DirectResponseAction {
	return &routev3.DirectResponseAction{Status: http.StatusServiceUnavailable, Body: inlineString(reason)}
}

func inlineString(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}
