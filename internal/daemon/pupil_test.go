package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// pupil is a simulated agent whose Envoy acknowledges everything at once: it follows
// what it is told to trust, and renews when it is told where to live.
type pupil struct {
	t     *testing.T
	of    *process
	pod   string
	svid  *tls.Certificate
	chain []string
	trust *ensignv1.Trust
	roots ca.Bundle
	// deaf: it hears, and its Envoy acknowledges nothing any more.
	deaf atomic.Bool
	// skew is how far its clock is ahead of ensignd's, in nanoseconds.
	skew atomic.Int64

	stream   ensignv1.AgentService_ConnectClient
	sequence uint64
}

// enroll is a pupil with its first SVID, bound to its pod or to its account only.
func enroll(p *process, pod string, bound bool) *pupil {
	p.t.Helper()
	u := &pupil{t: p.t, of: p, pod: pod, roots: p.bundle()}
	token := p.token(map[bool]string{true: pod}[bound])
	if err := u.get(metadata.AppendToOutgoingContext(p.t.Context(), "authorization", "Bearer "+token)); err != nil {
		p.t.Fatal(err)
	}
	return u
}

// get asks for an SVID, with the one that it has as its proof, or that of the context.
func (u *pupil) get(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	conn := u.of.dial(u.roots, u.svid)
	defer conn.Close()
	answer, err := istioca.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx,
		&istioca.IstioCertificateRequest{Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	if err != nil {
		return err
	}
	u.chain = answer.CertChain
	u.svid = &tls.Certificate{PrivateKey: key}
	for _, text := range u.chain[:len(u.chain)-1] {
		block, _ := pem.Decode([]byte(text))
		u.svid.Certificate = append(u.svid.Certificate, block.Bytes)
	}
	u.svid.Leaf, err = x509.ParseCertificate(u.svid.Certificate[0])
	return err
}

// root is the fingerprint of the root that its SVID leads to, "" if it trusts none such.
func (u *pupil) root() string {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range u.roots.Roots() {
		pool.AddCert(root)
	}
	for _, der := range u.svid.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	chains, err := u.svid.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return ""
	}
	return ca.Fingerprint(chains[0][len(chains[0])-1])
}

// follow connects, and follows until ctx or the control plane ends.
func (u *pupil) follow(ctx context.Context) {
	conn := u.of.dial(u.roots, u.svid)
	defer conn.Close()
	var err error
	if u.stream, err = ensignv1.NewAgentServiceClient(conn).Connect(ctx); err != nil {
		return
	}
	for u.report() == nil {
		message, err := u.stream.Recv()
		for err == nil && message.GetTrust() == nil && message.GetRenew() == nil {
			message, err = u.stream.Recv()
		}
		if err != nil {
			return
		}
		if u.obey(ctx, message) != nil {
			return
		}
	}
}

func (u *pupil) obey(ctx context.Context, message *ensignv1.ConnectResponse) error {
	if trust := message.GetTrust(); trust != nil {
		u.trust = trust
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
		if u.roots = bundle; u.deaf.Load() || trust.RenewWithin.AsDuration() == 0 || u.root() == trust.Root {
			return nil
		}
	}
	return u.get(ctx)
}

// report says what Envoy has acknowledged: all of it, unless it is deaf.
func (u *pupil) report() error {
	if u.deaf.Load() {
		return nil
	}
	u.sequence++
	return u.stream.Send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: &ensignv1.Report{
		Sequence: u.sequence, TrustSequence: u.trust.GetSequence(), NodeId: "sidecar~10.0.0.5~" + u.pod + ".shop~shop.svc.cluster.local", EnvoyVersion: "1.40.0",
		Clock:        timestamppb.New(time.Now().Add(time.Duration(u.skew.Load()))),
		Acknowledged: &ensignv1.SecretState{Serial: u.svid.Leaf.SerialNumber.Text(16), Bundle: u.roots.Hash(), AcknowledgedAt: timestamppb.Now()},
	}}})
}
