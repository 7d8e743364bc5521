package federation_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	spiffe "github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/federation"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// trust is what the mesh trusts, and which of its CAs issues.
type trust struct {
	mu       sync.Mutex
	roots    ca.Bundle
	sequence uint64
	changed  chan struct{}
	issuing  catest.Mesh
}

func (f *trust) Trust() (ca.Bundle, uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.roots, f.sequence, f.changed
}

// set changes all of it at once.
func (f *trust) set(t *testing.T, issuing catest.Mesh, trusted ...catest.Mesh) {
	t.Helper()
	var roots []*x509.Certificate
	for _, m := range trusted {
		roots = append(roots, m.Upstream.Signing())
	}
	bundle, err := ca.NewBundle(roots...)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed != nil {
		close(f.changed)
	}
	f.roots, f.issuing, f.sequence, f.changed = bundle, issuing, f.sequence+10, make(chan struct{})
}

func (f *trust) IssueBundleEndpoint(ctx context.Context, csr ca.CSR, life time.Duration) (ca.Issued, error) {
	f.mu.Lock()
	m := f.issuing
	f.mu.Unlock()
	return m.Service.IssueBundleEndpoint(ctx, csr, life)
}

// serve starts an endpoint on loopback until the test ends.
func serve(t *testing.T, f *trust, certificates federation.Certificates, reg prometheus.Registerer) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	endpoint, err := federation.New(ctx, federation.Config{
		TrustDomain: catest.TrustDomain, Trust: f.Trust, Certificates: certificates, Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- endpoint.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the endpoint ended with %v", err)
		}
	})
	return fmt.Sprintf("https://%s/", listener.Addr())
}

// follower is another trust domain's: it keeps the roots that it was told last, and
// checks the endpoint against them.
type follower struct {
	set *spiffebundle.Set
	got chan *spiffebundle.Bundle
	bad chan error
}

func (f *follower) NextRefresh(time.Duration) time.Duration { return 10 * time.Millisecond }
func (f *follower) OnError(err error)                       { f.bad <- err }
func (f *follower) OnUpdate(b *spiffebundle.Bundle) {
	f.set.Add(b)
	f.got <- b
}

func follow(t *testing.T, url string, first ca.Bundle) *follower {
	t.Helper()
	f := &follower{set: spiffebundle.NewSet(), got: make(chan *spiffebundle.Bundle, 100), bad: make(chan error, 100)}
	f.set.Add(spiffebundle.FromX509Authorities(catest.TrustDomain, first.Roots()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = spiffe.WatchBundle(ctx, catest.TrustDomain, url, f, spiffe.WithSPIFFEAuth(f.set, endpointID(t)))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func endpointID(t *testing.T) spiffeid.ID {
	t.Helper()
	id, err := ca.BundleEndpointID(catest.TrustDomain)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// next is the follower's next bundle; an error before it fails the test.
func (f *follower) next(t *testing.T) *spiffebundle.Bundle {
	t.Helper()
	select {
	case b := <-f.got:
		return b
	case err := <-f.bad:
		t.Fatalf("the follower lost the endpoint: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("the follower heard of no change")
	}
	return nil
}

func accepts(t *testing.T, b *spiffebundle.Bundle, issuing catest.Mesh) error {
	t.Helper()
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	issued, err := issuing.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = x509svid.Verify(append([]*x509.Certificate{issued.Leaf}, issued.Issuers...), b)
	return err
}

// TestAFollowerStaysThroughARotation: go-spiffe's own client, which trusts nothing but
// what the endpoint told it, comes from the old root to the new one without a failure.
func TestAFollowerStaysThroughARotation(t *testing.T) {
	before, after := catest.NewMesh(t, nil), catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, before, before)
	first, _, _ := f.Trust()
	url := serve(t, f, federation.NewSelf(f), prometheus.NewRegistry())
	peer := follow(t, url, first)

	for n, step := range []struct {
		name     string
		issuing  catest.Mesh
		trusted  []catest.Mesh
		old, new bool // whose SVIDs the follower accepts
	}{
		{"as it began", before, []catest.Mesh{before}, true, false},
		{"distributing", before, []catest.Mesh{before, after}, true, true},
		{"activating", after, []catest.Mesh{before, after}, true, true},
		{"retiring", after, []catest.Mesh{after}, false, true},
		{"the same roots again", after, []catest.Mesh{after}, false, true},
	} {
		if n > 0 {
			f.set(t, step.issuing, step.trusted...)
		}
		got := peer.next(t)
		if sequence, ok := got.SequenceNumber(); !ok || sequence != uint64(n+1)*10 {
			t.Errorf("%s: sequence %d", step.name, sequence)
		}
		if hint, ok := got.RefreshHint(); !ok || hint != federation.RefreshHint {
			t.Errorf("%s: refresh hint %s", step.name, hint)
		}
		if len(got.X509Authorities()) != len(step.trusted) {
			t.Errorf("%s: %d roots", step.name, len(got.X509Authorities()))
		}
		if err := accepts(t, got, before); (err == nil) != step.old {
			t.Errorf("%s: an SVID of the old root: %v", step.name, err)
		}
		if err := accepts(t, got, after); (err == nil) != step.new {
			t.Errorf("%s: an SVID of the new root: %v", step.name, err)
		}
	}
	if _, err := spiffe.FetchBundle(t.Context(), catest.TrustDomain, url,
		spiffe.WithSPIFFEAuth(spiffebundle.FromX509Authorities(catest.TrustDomain, first.Roots()), endpointID(t))); err == nil {
		t.Error("who knows the old root alone believes the endpoint")
	}
}

func TestOnlyTheDocumentIsServed(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, mesh, mesh)
	cert, key, roots := webFiles(t, "one")
	url := serve(t, f, federation.NewFiles(cert, key), prometheus.NewRegistry())
	client := webClient(roots)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "", 200}, {http.MethodGet, "?x=1", 200}, {http.MethodPost, "", 405}, {http.MethodHead, "", 405},
		{http.MethodGet, "bundle", 404}, {http.MethodGet, "..%2fkeys", 404},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Error(err)
		}
		if answer.StatusCode != c.want {
			t.Errorf("%s /%s: %s", c.method, c.path, answer.Status)
		}
		if _, err := spiffebundle.Parse(catest.TrustDomain, text); (err == nil) != (c.want == 200) {
			t.Errorf("%s /%s: answered %s", c.method, c.path, text)
		}
		if !answer.Close || answer.ProtoMajor != 1 {
			t.Errorf("%s /%s: %s stays open", c.method, c.path, answer.Proto)
		}
	}
}

func TestAnEndpointNeedsACertificate(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, mesh, mesh)
	mesh.Ledger.Fail(errors.New("disk full"))
	for name, certificates := range map[string]federation.Certificates{
		"no issuing": federation.NewSelf(f),
		"no files":   federation.NewFiles("missing.pem", "missing.key"),
	} {
		if _, err := federation.New(t.Context(), federation.Config{
			TrustDomain: catest.TrustDomain, Trust: f.Trust, Certificates: certificates, Registerer: prometheus.NewRegistry(),
		}); err == nil {
			t.Errorf("%s: an endpoint", name)
		}
	}
	if _, err := federation.New(t.Context(), federation.Config{}); err == nil {
		t.Error("an endpoint of nothing")
	}
}

// away is a CA that can sign nothing now.
type away struct{ err error }

func (a away) IssueBundleEndpoint(context.Context, ca.CSR, time.Duration) (ca.Issued, error) {
	return ca.Issued{}, a.err
}

// TestAnEndpointOpensBeforeItsCertificate can be signed: else ensignd would not start, and
// nobody could lead the mesh away from a place that is lost.
func TestAnEndpointOpensBeforeItsCertificate(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, mesh, mesh)
	for _, err := range []error{ca.ErrIssuerExpired, ca.ErrRemote} {
		if _, err := federation.New(t.Context(), federation.Config{TrustDomain: catest.TrustDomain, Trust: f.Trust,
			Certificates: federation.NewSelf(away{fmt.Errorf("signing: %w", err)}), Registerer: prometheus.NewRegistry()}); err != nil {
			t.Error(err)
		}
	}
}
