package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// trouble is what a proxy does with a request to sign; pass hands it on.
type trouble func(w http.ResponseWriter, r *http.Request, pass http.Handler)

// proxy stands between Ensign and a real Vault.
type proxy struct {
	address string
	trouble atomic.Pointer[trouble]
	asked   atomic.Int64
}

func newProxy(t *testing.T, v *vaultd.Server) *proxy {
	t.Helper()
	text, err := os.ReadFile(v.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	to, err := url.Parse(v.Address)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	pass.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	p := &proxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if bad := p.trouble.Load(); bad != nil {
			(*bad)(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	p.address = server.URL
	// Before the server closes, which waits for its requests.
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return p
}

func (p *proxy) set(bad trouble) {
	if bad == nil {
		p.trouble.Store(nil)
		return
	}
	p.trouble.Store(&bad)
}

// slow answers after half a minute.
func slow(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	// Read to its end, so that the context ends with the connection.
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-time.After(30 * time.Second):
	case <-r.Context().Done():
	}
}

func broken(status int) trouble {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"errors":["out of order"]}`)
	}
}

// cut ends the connection in the middle of Vault's answer.
func cut(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	answer := httptest.NewRecorder()
	pass.ServeHTTP(answer, r)
	w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
	_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// endless never stops to answer.
func endless(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.WriteString(w, `{"data":{"certificate":"`)
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, strings.Repeat("A", 64<<10)); err != nil {
			return
		}
	}
}

// changed lets a test alter the fields of Vault's answer.
func changed(t *testing.T, change func(data map[string]any)) trouble {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		var whole map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &whole); err != nil {
			t.Errorf("vault answers no JSON: %v", err)
			return
		}
		if data, ok := whole["data"].(map[string]any); ok {
			change(data)
		}
		_ = json.NewEncoder(w).Encode(whole)
	}
}

// asked lets a test alter what reaches Vault.
func asked(t *testing.T, change func(body map[string]any)) trouble {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/sign-intermediate") {
			pass.ServeHTTP(w, r)
			return
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("request is no JSON: %v", err)
			return
		}
		change(body)
		text, _ := json.Marshal(body)
		next := r.Clone(context.WithoutCancel(r.Context()))
		next.Body, next.ContentLength = io.NopCloser(strings.NewReader(string(text))), int64(len(text))
		pass.ServeHTTP(w, next)
	}
}
