package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

const extensionType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"

// denials are the resources by which an Envoy keeps out who is cut off.
var denials = []string{"rbac/http/revoked", "rbac/tcp/revoked"}

// agent connects as the agent of pod NS/NAME does, with the token in a file: it gets
// an SVID, whose serial is $SERIAL from then on, and follows whatever it is told of
// who is cut off and what to trust, it and the Envoy beside it; a stubborn one does not:
//
//	agent shop/web-1 token data/bundle.pem [stubborn]
//
// It stays connected until the script ends.
func agent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: agent NS/POD TOKEN BUNDLE [stubborn]")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[2])))
	conn, err := grpc.NewClient(ts.Getenv("LISTEN"), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"})))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ts.Defer(func() { cancel(); conn.Close() })
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+ts.ReadFile(args[1]))
	serial, err := enrol(ctx, conn)
	ts.Check(err)
	ts.Setenv("SERIAL", serial)
	namespace, pod, _ := strings.Cut(args[0], "/")
	node := "sidecar~10.0.0.5~" + pod + "." + namespace + "~cluster.local"
	obedient := len(args) == 3

	ads, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	ts.Check(err)
	ts.Check(ads.Send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: extensionType, Node: &corev3.Node{Id: node}, ResourceNamesSubscribe: denials,
	}))
	go deny(ads, obedient)
	reports, err := ensignv1.NewAgentServiceClient(conn).Connect(ctx)
	ts.Check(err)
	p := &follower{
		ctx: ctx, conn: conn, stream: reports, obedient: obedient,
		last: &ensignv1.Report{NodeId: node, Acknowledged: &ensignv1.SecretState{Serial: serial}},
	}
	ts.Check(p.report())
	followed := make(chan uint64, 1)
	go p.follow(followed)
	select {
	case sequence := <-followed:
		shown(ts, args[0], func(p *ensignv1.Proxy) bool {
			return p.Report.GetSequence() >= sequence && p.Report.GetAcknowledged().GetSerial() == serial && (!obedient || p.Mechanisms.GetDeny().GetState() == "OBEYS")
		})
	case <-time.After(20 * time.Second):
		ts.Fatalf("not told who is cut off within 20 s")
	}
}

// enrol gets an SVID, and answers its serial.
func enrol(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", err
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	answer, err := istioca.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &istioca.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode([]byte(answer.CertChain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return leaf.SerialNumber.Text(16), nil
}

// deny acknowledges the denials: all, or the first only.
func deny(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, obedient bool) {
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		if first || obedient {
			stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce})
		}
	}
}

// follower is one agent's side of its report stream.
type follower struct {
	ctx    context.Context
	conn   *grpc.ClientConn
	stream ensignv1.AgentService_ConnectClient
	// obedient: it does all that it is told, not the first of each only.
	obedient bool

	// last is the newest report, livesOn the root that its SVID leads to.
	last    *ensignv1.Report
	livesOn string
}

func (p *follower) report() error {
	p.last.Sequence++
	p.last.Clock = timestamppb.Now()
	return p.stream.Send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: p.last}})
}

// follow does as it is told, and gives the first report of who is cut off to followed.
func (p *follower) follow(followed chan<- uint64) {
	cuts := 0
	for {
		message, err := p.stream.Recv()
		if err != nil {
			return
		}
		switch order, trust := message.GetCutOff(), message.GetTrust(); {
		case order != nil && (cuts == 0 || p.obedient):
			cuts++
			p.obey(order)
		case trust != nil && (p.livesOn == "" || p.obedient):
			err = p.believe(trust)
		case message.GetRenew() != nil:
			err = p.renew()
		default:
			continue
		}
		if err != nil || p.report() != nil {
			return
		}
		if cuts == 1 && followed != nil {
			followed <- p.last.Sequence
			followed = nil
		}
	}
}

// obey ends connections, but a stubborn one has three left.
func (p *follower) obey(order *ensignv1.CutOff) {
	p.last.Obedience = &ensignv1.Obedience{Revision: order.Revision, CrlRevision: order.CrlRevision, Method: ensignv1.CutMethod_CUT_METHOD_PIDFD}
	if !p.obedient {
		p.last.Obedience.Open = 3
	}
}

// believe takes the roots over, and gets an SVID of the root that it is told to live on.
func (p *follower) believe(trust *ensignv1.Trust) error {
	var roots []*x509.Certificate
	for _, der := range trust.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		roots = append(roots, root)
	}
	bundle, err := ca.NewBundle(roots...)
	if err != nil {
		return err
	}
	p.last.Acknowledged.Bundle, p.last.TrustSequence = bundle.Hash(), trust.Sequence
	if before := p.livesOn; before != "" && before != trust.Root {
		err = p.renew()
	}
	p.livesOn = trust.Root
	return err
}

func (p *follower) renew() (err error) {
	p.last.Acknowledged.Serial, err = enrol(p.ctx, p.conn)
	p.last.Acknowledged.AcknowledgedAt = timestamppb.Now()
	return err
}
