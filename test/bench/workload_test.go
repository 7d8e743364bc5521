package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// What the real agent takes its time over.
const (
	settleFor   = 100 * time.Millisecond // after an acknowledgement, before the report
	slowFor     = 2 * time.Second        // the same, of a slow one
	obeyWithin  = 10 * time.Millisecond
	reportEvery = time.Minute
	moveWithin  = 5 * time.Minute // to a connection that shows the new SVID
	retryFirst  = 500 * time.Millisecond
)

// svid is what a workload lives on.
type svid struct {
	tls.Certificate
	serial, fingerprint string
	root                string // fingerprint
	bundle              ca.Bundle
}

// workload is one simulated agent with an Envoy that acknowledges at once. The
// goroutine of run owns it.
type workload struct {
	fleet        *rotatingFleet
	pod, account string
	node         string
	leads        bool   // the first of its account
	machine      net.IP // where it connects from
	settles      time.Duration

	svid     *svid
	bundle   ca.Bundle // what Envoy has acknowledged
	follows  uint64    // sequence of the Trust whose bundle that is
	home     string    // the root that it heard last that it should live on
	cutOff   *ensignv1.CutOff
	sequence uint64
	failures int
	asking   bool // for another SVID

	renew, report *time.Timer
	renewed       chan renewal
}

type renewal struct {
	svid *svid
	err  error
}

// run keeps a stream open, and another when the SVID was renewed.
func (w *workload) run(ctx context.Context) {
	w.renew, w.report = time.NewTimer(0), time.NewTimer(0)
	w.renew.Stop()
	for ctx.Err() == nil {
		w.fleet.door <- struct{}{}
		in := sync.OnceFunc(func() { <-w.fleet.door })
		conn, err := w.fleet.dial(w.machine, w.svid, w.bundle)
		if err == nil {
			err = w.connect(ctx, conn, in)
			_ = conn.Close()
		}
		in()
		if ctx.Err() != nil || errors.Is(err, errMove) {
			continue
		}
		w.fleet.broken()
		pause(ctx, retryFirst)
	}
}

var errMove = errors.New("moving to a connection that shows the new SVID")

// connect follows one stream until it ends. It calls in with the first word from there.
func (w *workload) connect(ctx context.Context, conn *grpc.ClientConn, in func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ensignv1.NewAgentServiceClient(conn).Connect(ctx, grpc.MaxCallRecvMsgSize(16<<20))
	if err != nil {
		return err
	}
	messages, failed := make(chan *ensignv1.ConnectResponse), make(chan error, 1)
	go receive(ctx, stream, messages, failed)
	w.renewed = make(chan renewal, 1)
	w.report.Reset(0)
	if w.asking { // the answer went with the stream before
		w.asking = false
		w.renew.Reset(retryFirst)
	}
	var move <-chan time.Time
	for {
		select {
		case message := <-messages:
			in()
			if err := w.take(ctx, conn, message); err != nil {
				return err
			}
		case <-w.renew.C:
			w.ask(ctx, conn)
		case r := <-w.renewed:
			if w.settle(r) {
				move = time.After(time.Duration(mathrand.Float64() * float64(moveWithin)))
			}
		case <-w.report.C:
			w.report.Reset(time.Duration(float64(reportEvery) * (0.9 + 0.2*mathrand.Float64())))
			if err := stream.Send(w.word()); err != nil {
				return <-failed
			}
		case <-move:
			if !w.asking {
				return errMove
			}
			move = time.After(retryFirst)
		case err := <-failed:
			return err
		}
	}
}

func receive(ctx context.Context, stream ensignv1.AgentService_ConnectClient, messages chan<- *ensignv1.ConnectResponse, failed chan<- error) {
	for {
		message, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		select {
		case messages <- message:
		case <-ctx.Done():
			failed <- ctx.Err()
			return
		}
	}
}

func (w *workload) take(ctx context.Context, conn *grpc.ClientConn, message *ensignv1.ConnectResponse) error {
	switch m := message.GetMessage().(type) {
	case *ensignv1.ConnectResponse_CutOff:
		w.cutOff = m.CutOff
		w.report.Reset(obeyWithin)
	case *ensignv1.ConnectResponse_Renew:
		w.ask(ctx, conn)
	case *ensignv1.ConnectResponse_Trust:
		return w.trust(m.Trust)
	}
	return nil
}

// trust has Envoy believe the roots at once, and leaves another root within the window.
func (w *workload) trust(t *ensignv1.Trust) error {
	bundle, err := bundleOf(t.GetRoots())
	if err != nil {
		return fmt.Errorf("told what to trust: %w", err)
	}
	w.fleet.told(w.pod, t, bundle)
	if t.GetSequence() != w.follows {
		w.bundle, w.follows = bundle, t.GetSequence()
		w.report.Reset(w.settles)
	}
	if t.GetRoot() == w.home {
		return nil
	}
	if w.home = t.GetRoot(); w.home != w.svid.root {
		w.renew.Reset(time.Duration(mathrand.Float64() * float64(t.GetRenewWithin().AsDuration())))
	}
	return nil
}

// ask gets another SVID beside the loop.
func (w *workload) ask(ctx context.Context, conn *grpc.ClientConn) {
	if w.asking {
		return
	}
	w.asking = true
	renewed := w.renewed
	go func() {
		got, err := w.fleet.issue(ctx, conn)
		renewed <- renewal{got, err}
	}()
}

// settle makes an SVID the one that Envoy has, or tries again.
func (w *workload) settle(r renewal) bool {
	w.asking = false
	if r.err != nil {
		w.fleet.refused(r.err)
		w.failures++
		w.renew.Reset(time.Duration(float64(min(retryFirst<<min(w.failures-1, 6), 30*time.Second)) * (0.5 + 0.5*mathrand.Float64())))
		return false
	}
	w.failures = 0
	w.svid = r.svid
	w.report.Reset(w.settles)
	return true
}

// word is the report of what Envoy has acknowledged.
func (w *workload) word() *ensignv1.ConnectRequest {
	w.sequence++
	w.fleet.says(w.pod, word{w.bundle.Hash(), w.svid.root, w.svid.serial})
	report := &ensignv1.Report{
		Sequence: w.sequence, TrustSequence: w.follows, NodeId: w.node, EnvoyVersion: "1.40.0", Clock: timestamppb.Now(),
		ServedFingerprints: []string{w.svid.fingerprint},
		Acknowledged: &ensignv1.SecretState{
			Serial: w.svid.serial, Fingerprint: w.svid.fingerprint, Bundle: w.bundle.Hash(), AcknowledgedAt: timestamppb.Now(),
		},
	}
	if w.cutOff != nil {
		report.Obedience = &ensignv1.Obedience{Revision: w.cutOff.Revision, CrlRevision: w.cutOff.CrlRevision, Method: ensignv1.CutMethod_CUT_METHOD_PIDFD}
	}
	return &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: report}}
}

// dial is a connection that shows an SVID, or nothing. It is made with the first call.
func (f *rotatingFleet) dial(from net.IP, s *svid, bundle ca.Bundle) (*grpc.ClientConn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "localhost", RootCAs: x509.NewCertPool()}
	if s != nil {
		config.Certificates = []tls.Certificate{s.Certificate}
	}
	for _, root := range bundle.Roots() {
		config.RootCAs.AddCert(root)
	}
	return grpc.NewClient("passthrough:///"+f.ensignd.address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10), grpc.WithSharedWriteBuffer(true))
}

// issue asks for an SVID with a new key.
func (f *rotatingFleet) issue(ctx context.Context, conn *grpc.ClientConn) (*svid, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	answer, err := istioca.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &istioca.IstioCertificateRequest{
		Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
	})
	if err != nil {
		return nil, err
	}
	got, err := accept(answer.GetCertChain(), key)
	if err == nil {
		f.issued()
	}
	return got, err
}

// accept finds the root that an answer leads to.
func accept(answer []string, key *ecdsa.PrivateKey) (*svid, error) {
	if len(answer) < 2 {
		return nil, fmt.Errorf("an answer of %d elements", len(answer))
	}
	chain, err := parse(strings.Join(answer[:len(answer)-1], "\n"))
	if err != nil {
		return nil, err
	}
	bundle, err := ca.ParseBundle([]byte(answer[len(answer)-1]))
	if err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, root := range bundle.Roots() {
		options.Roots.AddCert(root)
	}
	got := &svid{bundle: bundle, Certificate: tls.Certificate{PrivateKey: key, Leaf: chain[0]}}
	for i, c := range chain {
		got.Certificate.Certificate = append(got.Certificate.Certificate, c.Raw)
		if i > 0 {
			options.Intermediates.AddCert(c)
		}
	}
	paths, err := chain[0].Verify(options)
	if err != nil {
		return nil, err
	}
	got.serial, got.fingerprint = chain[0].SerialNumber.Text(16), fingerprint(chain[0].Raw)
	got.root = fingerprint(paths[0][len(paths[0])-1].Raw)
	return got, nil
}

func parse(text string) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("a chain without a leaf")
	}
	return list, nil
}

func bundleOf(roots [][]byte) (ca.Bundle, error) {
	list := make([]*x509.Certificate, len(roots))
	for i, der := range roots {
		var err error
		if list[i], err = x509.ParseCertificate(der); err != nil {
			return ca.Bundle{}, err
		}
	}
	return ca.NewBundle(list...)
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
