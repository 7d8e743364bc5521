package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/satoken"
)

const reviewsID = "spiffe://cluster.local/ns/shop/sa/reviews"

// wire is the CA behind real gRPC on a real socket.
type wire struct {
	mesh   catest.Mesh
	minter *satoken.Minter
	client istioca.IstioCertificateServiceClient
	reg    *prometheus.Registry
	spans  *tracetest.SpanRecorder
	log    *lockedBuffer
}

// bookshop knows two accounts.
type bookshop struct{}

func (bookshop) Account(ns, name string) (string, bool) {
	return "uid-" + name, ns == "shop" && (name == "reviews" || name == "ratings")
}

func (bookshop) Pod(string, string) (identity.Pod, bool) { return identity.Pod{}, false }

// lockedBuffer is a log that handlers write and tests read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// newWire serves the CA; edit may change the edge.
func newWire(t *testing.T, edit func(*server.Config)) wire {
	t.Helper()
	w := wire{reg: prometheus.NewRegistry(), spans: tracetest.NewSpanRecorder(), log: &lockedBuffer{}}
	metrics := server.NewMetrics(w.reg)
	w.mesh = catest.NewMesh(t, func(c *ca.Config) { c.Observe = metrics.ObserveStage })
	key := catest.NewKey(t)
	cfg := satoken.Config{TrustDomain: catest.TrustDomain, Directory: bookshop{}}
	w.minter = must(satoken.NewMinter(key, cfg))
	auth := must(satoken.NewAuthenticator(&key.PublicKey, cfg))

	edge := server.Config{
		Issuer: w.mesh.Service, Metrics: metrics, Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
		Tracing: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)),
	}
	if edit != nil {
		edit(&edge)
	}
	grpcServer := grpc.NewServer(grpc.UnaryInterceptor(authenticating(auth)))
	must(server.New(edge)).Register(grpcServer)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go grpcServer.Serve(listener)
	t.Cleanup(grpcServer.Stop)
	conn := must(grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() { conn.Close() })
	w.client = istioca.NewIstioCertificateServiceClient(conn)
	return w
}

// authenticating is what the daemon's interceptor does with a token.
func authenticating(auth identity.Authenticator) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		header := metadata.ValueFromIncomingContext(ctx, "authorization")
		if len(header) == 0 {
			return next(ctx, req)
		}
		caller, err := auth.Authenticate(ctx, identity.Credentials{Token: strings.TrimPrefix(header[0], "Bearer ")})
		if err != nil {
			return nil, status.Error(server.Code(err), err.Error())
		}
		return next(identity.WithCaller(ctx, caller), req)
	}
}

func (w wire) token(t *testing.T, account, audience string, ttl time.Duration) string {
	t.Helper()
	return must(w.minter.Mint(satoken.Request{Namespace: "shop", Account: account, Audience: audience, TTL: ttl})).Text
}

func (w wire) call(t *testing.T, token string, req *istioca.IstioCertificateRequest) (*istioca.IstioCertificateResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return w.client.CreateCertificate(ctx, req)
}

// count is one value of ensign_csr_total.
func (w wire) count(t *testing.T, outcome string) int {
	t.Helper()
	for _, family := range must(w.reg.Gather()) {
		for _, m := range family.GetMetric() {
			if family.GetName() == "ensign_csr_total" && m.GetLabel()[0].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func TestCreateCertificate(t *testing.T) {
	w := newWire(t, nil)
	key := catest.NewKey(t)
	token := w.token(t, "reviews", "", time.Hour)
	got, err := w.call(t, token, &istioca.IstioCertificateRequest{Csr: string(catest.CSR(t, key, reviewsID)), ValidityDuration: 3600})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.CertChain) != 3 {
		t.Fatalf("chain of %d elements, want leaf, issuer, roots", len(got.CertChain))
	}
	roots := must(ca.ParseBundle([]byte(got.CertChain[2])))
	if roots.Hash() != w.mesh.Service.Bundle().Hash() {
		t.Error("last element is not the roots")
	}
	leaf := handshake(t, key, got.CertChain)
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != reviewsID {
		t.Errorf("leaf is for %v", leaf.URIs)
	}
	if life := time.Until(leaf.NotAfter); life > time.Hour || life < time.Hour-5*time.Second {
		t.Errorf("asked for an hour, got %s", life)
	}
	w.checkTraces(t, token, leaf)
}

// handshake uses the answer as an agent would, in mutual TLS with itself, and
// returns the leaf that the other side saw.
func handshake(t *testing.T, key *ecdsa.PrivateKey, chain []string) *x509.Certificate {
	t.Helper()
	pair := tls.Certificate{PrivateKey: key}
	for _, text := range chain[:len(chain)-1] {
		block, _ := pem.Decode([]byte(text))
		pair.Certificate = append(pair.Certificate, block.Bytes)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(chain[len(chain)-1])) {
		t.Fatal("no roots in the last element")
	}
	serverSide, clientSide := net.Pipe()
	server := tls.Server(serverSide, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots})
	// Names are SPIFFE's, not DNS's: the chain is verified by hand.
	client := tls.Client(clientSide, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		intermediates := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		return err
	}})
	done := make(chan error, 1)
	go func() { done <- client.HandshakeContext(t.Context()) }()
	if err := errors.Join(server.HandshakeContext(t.Context()), <-done); err != nil {
		t.Fatalf("the answer does not work in TLS: %v", err)
	}
	return server.ConnectionState().PeerCertificates[0]
}

// checkTraces looks at what an issuance leaves behind: one log line without
// secrets, a span, counters.
func (w wire) checkTraces(t *testing.T, token string, leaf *x509.Certificate) {
	t.Helper()
	text := w.log.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, leaf.SerialNumber.Text(16)) || !strings.Contains(text, reviewsID) {
		t.Errorf("log: %s", text)
	}
	if strings.Contains(text, token) || strings.Contains(text, "BEGIN") || strings.Contains(text, "PRIVATE") {
		t.Errorf("log holds a secret: %s", text)
	}
	if spans := w.spans.Ended(); len(spans) != 1 || spans[0].Name() != "ca.CreateCertificate" {
		t.Errorf("spans %v", spans)
	}
	if w.count(t, "issued") != 1 {
		t.Error("not counted")
	}
	if stages := must(testutil.GatherAndCount(w.reg, "ensign_csr_seconds")); stages != 6 {
		t.Errorf("%d stages were timed, want 6", stages)
	}
	entries := w.mesh.Ledger.Entries(ca.KindSVID)
	if len(entries) != 1 || entries[0].Requester == "" || entries[0].TokenID == "" {
		t.Errorf("ledger %+v", entries)
	}
}

func TestRefusalsOnTheWire(t *testing.T) {
	w := newWire(t, nil)
	good := string(catest.CSR(t, catest.NewKey(t)))
	reviews := w.token(t, "reviews", "", time.Hour)
	naming := func(id string) string { return string(catest.CSR(t, catest.NewKey(t), id)) }
	otherKey := catest.NewKey(t)
	otherMesh := must(satoken.NewMinter(otherKey, satoken.Config{TrustDomain: must(trustDomain("evil.example")), Directory: bookshop{}}))
	impersonation := must(structpb.NewStruct(map[string]any{"ImpersonatedIdentity": "spiffe://cluster.local/ns/shop/sa/ratings"}))
	short := w.token(t, "reviews", "", time.Second)
	time.Sleep(1100 * time.Millisecond)
	for name, c := range map[string]struct {
		token   string
		request *istioca.IstioCertificateRequest
		code    codes.Code
		says    string
		counted string
	}{
		"no proof":             {"", &istioca.IstioCertificateRequest{Csr: good}, codes.Unauthenticated, "no proven identity", "no_proof"},
		"A naming B":           {reviews, &istioca.IstioCertificateRequest{Csr: naming("spiffe://cluster.local/ns/shop/sa/ratings")}, codes.PermissionDenied, "the caller is " + reviewsID, "csr_foreign_san"},
		"1 MiB of garbage":     {reviews, &istioca.IstioCertificateRequest{Csr: strings.Repeat("x", 1<<20)}, codes.InvalidArgument, "too_large", "csr_too_large"},
		"empty":                {reviews, &istioca.IstioCertificateRequest{}, codes.InvalidArgument, "not PEM", "csr_malformed"},
		"trailing bytes":       {reviews, &istioca.IstioCertificateRequest{Csr: good + "x"}, codes.InvalidArgument, "behind", "csr_trailing_bytes"},
		"negative life":        {reviews, &istioca.IstioCertificateRequest{Csr: good, ValidityDuration: -5}, codes.InvalidArgument, "negative", "lifetime"},
		"another's identity":   {reviews, &istioca.IstioCertificateRequest{Csr: good, Metadata: impersonation}, codes.PermissionDenied, "for the caller only", "impersonation"},
		"expired token":        {short, &istioca.IstioCertificateRequest{Csr: good}, codes.Unauthenticated, "expired", ""},
		"wrong audience":       {w.token(t, "reviews", "vault", time.Hour), &istioca.IstioCertificateRequest{Csr: good}, codes.Unauthenticated, "audience", ""},
		"another trust domain": {must(otherMesh.Mint(satoken.Request{Namespace: "shop", Account: "reviews", TTL: time.Hour})).Text, &istioca.IstioCertificateRequest{Csr: good}, codes.Unauthenticated, "trust domain", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := w.call(t, c.token, c.request)
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.says) || got != nil {
				t.Errorf("got %v, want %s with %q", err, c.code, c.says)
			}
			if c.counted != "" && w.count(t, c.counted) != 1 {
				t.Errorf("outcome %s was counted %d times", c.counted, w.count(t, c.counted))
			}
		})
	}
	if n := len(w.mesh.Ledger.Entries(ca.KindSVID)); n != 0 {
		t.Errorf("ledger holds %d SVIDs", n)
	}
	// Whatever was refused, nobody else is disturbed; an absurd life is clipped.
	if _, err := w.call(t, reviews, &istioca.IstioCertificateRequest{Csr: good, ValidityDuration: 1 << 62}); err != nil {
		t.Errorf("a good request after all the bad ones: %v", err)
	}
}

func TestNothingIsAnsweredWithoutTheLedger(t *testing.T) {
	w := newWire(t, nil)
	w.mesh.Ledger.Fail(errors.New("disk /var/lib/secret-place is full"))
	got, err := w.call(t, w.token(t, "reviews", "", time.Hour), &istioca.IstioCertificateRequest{Csr: string(catest.CSR(t, catest.NewKey(t)))})
	if status.Code(err) != codes.Unavailable || got != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	if strings.Contains(err.Error(), "secret-place") {
		t.Errorf("the caller hears of our disks: %v", err)
	}
	if !strings.Contains(w.log.String(), "secret-place") {
		t.Error("the log does not")
	}
	if w.count(t, "ledger") != 1 {
		t.Error("not counted")
	}
}

// slowIssuer holds every call until it is let go.
type slowIssuer struct {
	entered chan struct{}
	release chan struct{}
	server.Issuer
}

func (s slowIssuer) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.Issuer.Issue(ctx, r)
}

// TestLoadIsShed: over the limit calls are refused at once, with the time to
// come back; those at work are answered.
func TestLoadIsShed(t *testing.T) {
	slow := slowIssuer{entered: make(chan struct{}, 2), release: make(chan struct{})}
	w := newWire(t, func(c *server.Config) { slow.Issuer, c.Issuer, c.Limit = c.Issuer, &slow, 2 })
	token := w.token(t, "reviews", "", time.Hour)
	req := &istioca.IstioCertificateRequest{Csr: string(catest.CSR(t, catest.NewKey(t)))}
	answers := make(chan error, 2)
	for range 2 {
		go func() { _, err := w.call(t, token, req); answers <- err }()
		<-slow.entered
	}
	_, err := w.call(t, token, req)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "try again") {
		t.Errorf("a third call: %v", err)
	}
	details := status.Convert(err).Details()
	retry, ok := append(details, nil)[0].(*errdetails.RetryInfo)
	if !ok || retry.RetryDelay.AsDuration() < time.Second || retry.RetryDelay.AsDuration() > 2*time.Second {
		t.Errorf("details %v do not say when to retry", details)
	}
	close(slow.release)
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("a call at work: %v", err)
		}
	}
	if _, err := w.call(t, token, req); err != nil {
		t.Errorf("after the load: %v", err)
	}
	if w.count(t, "shed") != 1 || w.count(t, "issued") != 3 {
		t.Errorf("counted shed %d, issued %d", w.count(t, "shed"), w.count(t, "issued"))
	}
}

// TestOneAccountCannotStarveAnother: one account asks for all that can be had
// while nothing comes back; the other's call gets to work.
func TestOneAccountCannotStarveAnother(t *testing.T) {
	slow := slowIssuer{entered: make(chan struct{}, 100), release: make(chan struct{})}
	w := newWire(t, func(c *server.Config) { slow.Issuer, c.Issuer, c.Limit = c.Issuer, &slow, 20 })
	req := &istioca.IstioCertificateRequest{Csr: string(catest.CSR(t, catest.NewKey(t)))}
	answers, others := make(chan error, 100), make(chan error, 1)
	call := func(account string, answers chan<- error) {
		token := w.token(t, account, "", time.Hour)
		go func() { _, err := w.call(t, token, req); answers <- err }()
	}
	for range 100 {
		call("reviews", answers)
	}
	// The burst is 50, and on a slow machine a few more.
	refused := func(err error) bool {
		details := append(status.Convert(err).Details(), nil)
		_, told := details[0].(*errdetails.RetryInfo)
		return status.Code(err) == codes.ResourceExhausted && told
	}
	for range 40 {
		if err := <-answers; !refused(err) {
			t.Fatalf("%v, want a refusal that says when to come back", err)
		}
	}
	for range 16 { // as many of one account as may be at work
		<-slow.entered
	}
	call("ratings", others)
	select {
	case <-slow.entered:
	case err := <-others:
		t.Fatalf("the other account is kept out: %v", err)
	}
	close(slow.release)
	if err := <-others; err != nil {
		t.Error(err)
	}
	for range 60 {
		if err := <-answers; err != nil && !refused(err) {
			t.Error(err)
		}
	}
	if issued := w.count(t, "issued"); w.count(t, "shed_account") != 101-issued || w.count(t, "shed") != 0 || issued < 51 {
		t.Errorf("shed for the account %d, in all %d, issued %d", w.count(t, "shed_account"), w.count(t, "shed"), issued)
	}
}
