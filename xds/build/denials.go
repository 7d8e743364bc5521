package build

import (
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	exprv1 "google.golang.org/genproto/googleapis/api/expr/v1alpha1"

	"github.com/ensign-mesh/ensign/mesh"
)

// The filters that stand before all others of every inbound chain. They are the
// same for every proxy: who is cut off is so everywhere, whatever policies say.
const (
	RevokedHTTP = "rbac/http/revoked"
	RevokedTCP  = "rbac/tcp/revoked"
)

// Denials are the two filters that refuse who is cut off, each as an ECDS
// resource; they are there while nobody is, too.
//
// It reads Denied.
func Denials(s *mesh.Snapshot) []Resource {
	rules := &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{}}
	if digests := filtered(s.Denied.Digests, isDigest); len(digests) > 0 {
		rules.Policies["certificates"] = &rbacv3.Policy{
			Permissions: []*rbacv3.Permission{permissionWords.any()},
			Principals:  []*rbacv3.Principal{named(nil)}, // nobody without a certificate is asked for its digest
			Condition:   amongDigests(digests),
		}
	}
	if issuers := filtered(s.Denied.Issuers, utf8.ValidString); len(issuers) > 0 {
		policy := &rbacv3.Policy{Permissions: []*rbacv3.Permission{permissionWords.any()}}
		for _, subject := range issuers {
			policy.Principals = append(policy.Principals, issuedBy(subject))
		}
		rules.Policies["issuers"] = policy
	}
	if ids := filtered(s.Denied.Identities, utf8.ValidString); len(ids) > 0 {
		policy := &rbacv3.Policy{Permissions: []*rbacv3.Permission{permissionWords.any()}}
		for _, id := range ids {
			policy.Principals = append(policy.Principals, named(exactText(id)))
		}
		rules.Policies["identities"] = policy
	}
	return []Resource{extension(RevokedHTTP, nil, httpRBAC, rules), extension(RevokedTCP, nil, tcpRBAC, rules)}
}

// peerIssuer is where each mTLS connection keeps its peer's issuer, for its whole
// life: neither RBAC nor CEL can ask the certificate for it.
const peerIssuer = "ensign.peer_issuer"

// noteIssuer notes it when the handshake is done, before anything is asked.
func noteIssuer() *listenerv3.Filter {
	return networkFilter("envoy.filters.network.set_filter_state", &setstatev3.Config{
		OnDownstreamTlsHandshake: []*statev3.FilterStateValue{{
			Key:         &statev3.FilterStateValue_ObjectKey{ObjectKey: peerIssuer},
			FactoryKey:  "envoy.string",
			Value:       &statev3.FilterStateValue_FormatString{FormatString: text("%DOWNSTREAM_PEER_ISSUER%")},
			ReadOnly:    true,
			SkipIfEmpty: true,
		}},
	})
}

func text(format string) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: format}},
	}}
}

func issuedBy(subject string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_FilterState{FilterState: &matcherv3.FilterStateMatcher{
		Key:     peerIssuer,
		Matcher: &matcherv3.FilterStateMatcher_StringMatch{StringMatch: exactText(subject)},
	}}}
}

// filtered leaves out what no certificate can have: it matches nobody, and
// unwritable text would have the filter deny everybody.
func filtered(list []string, possible func(string) bool) []string {
	var out []string
	for _, v := range list {
		if possible(v) {
			out = append(out, v)
		}
	}
	return out
}

// isDigest: SHA-256 in lower-case hex, as Envoy writes it.
func isDigest(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// expression writes CEL: each part of one has a number of its own.
type expression struct{ last int64 }

func (e *expression) next() int64 { e.last++; return e.last }

// amongDigests is connection.sha256_peer_certificate_digest in [DIGESTS].
func amongDigests(digests []string) *exprv1.Expr {
	e := &expression{}
	return e.call("@in", e.digest(), e.list(digests))
}

func (e *expression) digest() *exprv1.Expr {
	return &exprv1.Expr{Id: e.next(), ExprKind: &exprv1.Expr_SelectExpr{SelectExpr: &exprv1.Expr_Select{
		Operand: &exprv1.Expr{Id: e.next(), ExprKind: &exprv1.Expr_IdentExpr{IdentExpr: &exprv1.Expr_Ident{Name: "connection"}}},
		Field:   "sha256_peer_certificate_digest",
	}}}
}

func (e *expression) call(function string, args ...*exprv1.Expr) *exprv1.Expr {
	return &exprv1.Expr{Id: e.next(), ExprKind: &exprv1.Expr_CallExpr{CallExpr: &exprv1.Expr_Call{Function: function, Args: args}}}
}

func (e *expression) text(value string) *exprv1.Expr {
	return &exprv1.Expr{Id: e.next(), ExprKind: &exprv1.Expr_ConstExpr{ConstExpr: &exprv1.Constant{
		ConstantKind: &exprv1.Constant_StringValue{StringValue: value},
	}}}
}

func (e *expression) list(values []string) *exprv1.Expr {
	elements := make([]*exprv1.Expr, 0, len(values))
	for _, v := range values {
		elements = append(elements, e.text(v))
	}
	return &exprv1.Expr{Id: e.next(), ExprKind: &exprv1.Expr_ListExpr{ListExpr: &exprv1.Expr_CreateList{Elements: elements}}}
}
