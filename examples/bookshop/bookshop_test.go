package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnAnswerShowsTheWholeWay(t *testing.T) {
	ratings := httptest.NewServer((&service{name: "ratings", version: "v1"}).handler())
	defer ratings.Close()
	reviews := &service{name: "reviews", version: "v2", calls: []string{ratings.URL + "/ratings/{id}"}, client: http.DefaultClient}
	front := httptest.NewServer(reviews.handler())
	defer front.Close()
	req, _ := http.NewRequest("GET", front.URL+"/reviews/7", nil)
	req.Header.Set("X-Forwarded-Client-Cert", `By=spiffe://a/b;Hash=1;URI=spiffe://old,By=x;Hash=2;Subject="";URI=spiffe://cluster.local/ns/shop/sa/storefront`)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if a.Caller != "spiffe://cluster.local/ns/shop/sa/storefront" || a.Version != "v2" {
		t.Errorf("got %+v", a)
	}
	if len(a.Calls) != 1 || a.Calls[0].Path != "/ratings/7" || a.Calls[0].Caller != "nobody" {
		t.Errorf("calls: %+v", a.Calls)
	}
}

func TestAFailureBelowIsNotHidden(t *testing.T) {
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "RBAC: access denied", http.StatusForbidden)
	}))
	defer denied.Close()
	front := httptest.NewServer((&service{name: "reviews", calls: []string{denied.URL}, client: http.DefaultClient}).handler())
	defer front.Close()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"load", "--url", front.URL, "--count", "3"}, &out, &errs); code != 1 {
		t.Errorf("exit %d for failed requests\n%s%s", code, &out, &errs)
	}
	if !strings.Contains(out.String(), `"502": 3`) {
		t.Errorf("report: %s", &out)
	}
}

func TestVerbs(t *testing.T) {
	server := httptest.NewServer((&service{name: "catalog", version: "v1"}).handler())
	defer server.Close()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"load --count 5 --url " + server.URL, 0, `"catalog v1": 5`},
		{"watch --for 200ms --url " + server.URL, 0, "request 1: status 200 on connection 1"},
		{"watch --url " + server.URL, 2, "--for"},
		{"load --header x --count 1 --url " + server.URL, 2, "NAME=VALUE"},
		{"serve", 2, "--service"},
		{"", 2, "usage"},
		{"sell", 2, "usage"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(test.args), &out, &errs)
		if all := out.String() + errs.String(); code != test.code || !strings.Contains(all, test.want) {
			t.Errorf("bookshop %s: exit %d, want %d with %q\n%s", test.args, code, test.code, test.want, all)
		}
	}
}
