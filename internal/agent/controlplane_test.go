package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	securityv1 "istio.io/api/security/v1alpha1"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

const (
	testID    = "spiffe://cluster.local/ns/shop/sa/reviews"
	testToken = "header.payload.signature-of-the-test"
)

// controlPlane is a small real one: TLS, certificates, a listener over delta ADS,
// reports. It notes what it was shown.
type controlPlane struct {
	securityv1.UnimplementedIstioCertificateServiceServer
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	ensignv1.UnimplementedAgentServiceServer

	t         testing.TB
	authority *sdstest.Authority
	address   string
	server    *grpc.Server

	mu sync.Mutex // guards all below
	// ttl is the life of the next certificates.
	ttl time.Duration
	// shows, if set, signs the server's certificate, in the next serve.
	shows *sdstest.Authority
	// refuse, if set, is the answer to certificate requests.
	refuse error
	// forgotten is the serial that the ledger lost; "" if none. Of the RPCs, those
	// in refusing do not take it.
	forgotten string
	refusing  []string
	// ads, if set, serves delta ADS streams.
	ads     func(discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error
	proofs  []proof
	leaves  []*x509.Certificate
	streams []proof
	// connects are of the report streams, refused ones too.
	connects []proof
	reports  chan *ensignv1.Report
	queries  chan *ensignv1.EnvoyQuery
	answers  chan *ensignv1.EnvoyAnswer
	deaf     bool // does not say ReportStored
	// cutOff is said first on each stream if it is set; then what comes by cutOffs.
	cutOff  *ensignv1.CutOff
	cutOffs chan *ensignv1.CutOff
	// trust is said next on each stream if it is set; then what comes by says.
	trust *ensignv1.Trust
	says  chan *ensignv1.ConnectResponse
	// behind is what the server shows behind its chain.
	behind []*x509.Certificate
	// prove, if set, shows the ledger to whom it is told that they saw so much.
	prove     func(seen *ensignv1.LedgerSeen) *ensignv1.LedgerProof
	sightings chan *ensignv1.Sightings
}

// proof is how one call proved who it is.
type proof struct{ token, serial string }

func proofOf(ctx context.Context) proof {
	var p proof
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		p.token = strings.Join(md.Get("authorization"), ",")
	}
	if caller, ok := peer.FromContext(ctx); ok {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			p.serial = info.State.PeerCertificates[0].SerialNumber.Text(16)
		}
	}
	return p
}

func newControlPlane(t testing.TB) *controlPlane {
	t.Helper()
	return newControlPlaneOf(t, sdstest.New(t))
}

// newControlPlaneOf lives under an authority and shows more behind its chain.
func newControlPlaneOf(t testing.TB, authority *sdstest.Authority, behind ...*x509.Certificate) *controlPlane {
	t.Helper()
	c := &controlPlane{
		t: t, authority: authority, behind: behind, ttl: time.Hour,
		reports: make(chan *ensignv1.Report, 100), queries: make(chan *ensignv1.EnvoyQuery), answers: make(chan *ensignv1.EnvoyAnswer, 1000),
		cutOffs: make(chan *ensignv1.CutOff), says: make(chan *ensignv1.ConnectResponse), sightings: make(chan *ensignv1.Sightings, 100),
	}
	c.serve("127.0.0.1:0")
	t.Cleanup(func() { c.server.Stop() })
	return c
}

// serve starts the server; after server.Stop it may be called again with address.
func (c *controlPlane) serve(address string) {
	c.t.Helper()
	var listener net.Listener
	eventually(c.t, "the port is free", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", address)
		return err == nil
	})
	c.address = listener.Addr().String()
	signer := c.authority
	if c.shows != nil {
		signer = c.shows
	}
	certificate := signer.Server(c.t, defaultServerName)
	for _, cert := range c.behind {
		certificate.Certificate = append(certificate.Certificate, cert.Raw)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: c.authority.Pool(),
	}
	c.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	securityv1.RegisterIstioCertificateServiceServer(c.server, c)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(c.server, c)
	ensignv1.RegisterAgentServiceServer(c.server, c)
	go c.server.Serve(listener)
}

func (c *controlPlane) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

var errForgotten = status.Error(codes.Unauthenticated, "proof is not in the ledger: renew with a token")

func (c *controlPlane) forgets(ctx context.Context, rpc string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgotten != "" && proofOf(ctx).serial == c.forgotten && slices.Contains(c.refusing, rpc)
}

func (c *controlPlane) CreateCertificate(ctx context.Context, request *securityv1.IstioCertificateRequest) (*securityv1.IstioCertificateResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := proofOf(ctx)
	c.proofs = append(c.proofs, shown)
	if c.refuse != nil {
		return nil, c.refuse
	}
	if c.forgotten != "" && shown.serial == c.forgotten {
		return nil, errForgotten
	}
	if shown.serial == "" && shown.token != "Bearer "+testToken {
		return nil, status.Error(codes.Unauthenticated, "no proof")
	}
	leaf := sdstest.Leaf(testID, c.ttl)
	c.leaves = append(c.leaves, leaf)
	return &securityv1.IstioCertificateResponse{CertChain: c.authority.Issue(c.t, []byte(request.GetCsr()), leaf)}, nil
}

func (c *controlPlane) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	c.mu.Lock()
	c.streams = append(c.streams, proofOf(stream.Context()))
	serve := c.ads
	c.mu.Unlock()
	if c.forgets(stream.Context(), "ads") {
		return errForgotten
	}
	if serve == nil {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	return serve(stream)
}

func (c *controlPlane) Connect(stream ensignv1.AgentService_ConnectServer) error {
	c.set(func() { c.connects = append(c.connects, proofOf(stream.Context())) })
	if c.forgets(stream.Context(), "reports") {
		return errForgotten
	}
	said := make(chan *ensignv1.ConnectResponse, 10)
	c.mu.Lock()
	if c.cutOff != nil {
		said <- cutOffOf(c.cutOff)
	}
	if c.trust != nil {
		said <- trustOf(c.trust)
	}
	c.mu.Unlock()
	go c.say(stream, said)
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		switch message := message.GetMessage().(type) {
		case *ensignv1.ConnectRequest_Answer:
			c.answers <- message.Answer
		case *ensignv1.ConnectRequest_Sightings:
			c.sightings <- message.Sightings
		case *ensignv1.ConnectRequest_Report:
			c.reports <- message.Report
			if answer := c.stored(message.Report); answer != nil {
				said <- answer
			}
		}
	}
}

func cutOffOf(cutOff *ensignv1.CutOff) *ensignv1.ConnectResponse {
	return &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_CutOff{CutOff: cutOff}}
}

func trustOf(trust *ensignv1.Trust) *ensignv1.ConnectResponse {
	return &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Trust{Trust: trust}}
}

// say is the one writer of a stream.
func (c *controlPlane) say(stream ensignv1.AgentService_ConnectServer, said <-chan *ensignv1.ConnectResponse) {
	for {
		select {
		case q := <-c.queries:
			stream.Send(&ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Query{Query: q}})
		case cutOff := <-c.cutOffs:
			stream.Send(cutOffOf(cutOff))
		case order := <-c.says:
			stream.Send(order)
		case answer := <-said:
			stream.Send(answer)
		case <-stream.Context().Done():
			return
		}
	}
}

func (c *controlPlane) stored(report *ensignv1.Report) *ensignv1.ConnectResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf {
		return nil
	}
	stored := &ensignv1.ReportStored{Sequence: report.GetSequence()}
	if c.prove != nil {
		stored.Ledger = c.prove(report.GetLedger())
	}
	return &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Stored{Stored: stored}}
}

// config is an agent's for this control plane, without Envoy.
func (c *controlPlane) config(t testing.TB) Config {
	t.Helper()
	dir := shortDir(t)
	bundle, token := filepath.Join(dir, "bundle.pem"), filepath.Join(dir, "token")
	write(t, bundle, sdstest.PEM(c.authority.Root))
	write(t, token, testToken+"\n")
	return Config{
		ControlPlane: c.address, TrustBundle: bundle, TokenFile: token,
		Pod: "shop/reviews-v1", IP: "127.0.0.1", RunDir: filepath.Join(dir, "run"), Envoy: NoEnvoy,
		EnvoyAdmin: need.Address(t), Metrics: need.Address(t), Health: need.Address(t), Logger: testLogger(t),
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
