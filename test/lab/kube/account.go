package kube

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NewAccount makes a service account, and its namespace if there is none.
func (s *Server) NewAccount(t testing.TB, namespace, name string) {
	t.Helper()
	err := s.do(t.Context(), http.MethodPost, "/api/v1/namespaces", core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, nil)
	if refused := (*refusal)(nil); err != nil && (!errors.As(err, &refused) || refused.status != http.StatusConflict) {
		t.Fatal(err)
	}
	s.Ask(t, http.MethodPost, accounts(namespace), core.ServiceAccount{ObjectMeta: meta.ObjectMeta{Name: name}}, nil)
}

// DeleteAccount deletes a service account, and waits until the API server takes no
// tokens of it any more, but for those that it took in the last ten seconds: it keeps
// its answers for as long.
func (s *Server) DeleteAccount(t testing.TB, namespace, name string) {
	t.Helper()
	token := s.Token(t, namespace, name)
	s.Ask(t, http.MethodDelete, accounts(namespace)+"/"+name, nil, nil)
	// Each look with another token, which it has no answer for.
	for look := time.Minute; s.Takes(t, s.Ended(t, token, time.Now().Add(look)), ""); look += time.Second {
		time.Sleep(20 * time.Millisecond)
	}
}

// Takes has the API server review a token, for an audience or (empty) for itself.
func (s *Server) Takes(t testing.TB, token, audience string) bool {
	t.Helper()
	asked := authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: token}}
	if audience != "" {
		asked.Spec.Audiences = []string{audience}
	}
	var answer authentication.TokenReview
	s.Ask(t, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", asked, &answer)
	return answer.Status.Authenticated
}

// Token is a new token of an account for these audiences, with a life of an hour.
// Without audiences it is for the API server itself.
func (s *Server) Token(t testing.TB, namespace, name string, audiences ...string) string {
	t.Helper()
	life := int64(time.Hour / time.Second)
	var made authentication.TokenRequest
	s.Ask(t, http.MethodPost, accounts(namespace)+"/"+name+"/token", authentication.TokenRequest{
		Spec: authentication.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &life}}, &made)
	return made.Status.Token
}

// Ended is the same token with another end, of a life of an hour, signed by the API
// server's own key: a token that TokenRequest makes lives for ten minutes at least. The
// API server takes it for a minute more.
func (s *Server) Ended(t testing.TB, token string, end time.Time) string {
	t.Helper()
	signed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	must(t, err)
	claims := map[string]any{}
	must(t, json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims))
	claims["exp"], claims["nbf"], claims["iat"] = end.Unix(), end.Add(-time.Hour).Unix(), end.Add(-time.Hour).Unix()
	payload, err := json.Marshal(claims)
	must(t, err)
	key := jose.JSONWebKey{Key: s.key, KeyID: signed.Signatures[0].Header.KeyID}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	must(t, err)
	again, err := signer.Sign(payload)
	must(t, err)
	text, err := again.CompactSerialize()
	must(t, err)
	return text
}

func accounts(namespace string) string {
	return strings.Join([]string{"/api/v1/namespaces", namespace, "serviceaccounts"}, "/")
}

// Bind gives an account a role of the whole cluster.
func (s *Server) Bind(t testing.TB, role, namespace, name string) {
	t.Helper()
	s.Ask(t, http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", rbac.ClusterRoleBinding{
		ObjectMeta: meta.ObjectMeta{Name: role + "-" + namespace + "-" + name},
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbac.Subject{{Kind: rbac.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, nil)
}
