package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	istioca "istio.io/api/security/v1alpha1"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
	"github.com/ensign-mesh/ensign/identity/satoken"
)

// BenchmarkRenewal prices an SVID that is renewed by an SVID, with every check on
// and the ledger on disk, beside the two calls of x509 that nobody could do
// without. "x-raw" is how many times as much CPU the first takes. What comes before
// the request, gRPC and the handshake of the connection, is in neither.
func BenchmarkRenewal(b *testing.B) {
	var raw float64
	b.Run("raw", func(b *testing.B) {
		f := newFleet(b)
		raw = f.measure(b, callers, f.raw)
	})
	b.Run("checked", func(b *testing.B) {
		f := newFleet(b)
		b.ReportMetric(f.measure(b, callers, f.renew)/raw, "x-raw")
	})
	// One at a time, so that no stage waits for another's processor; of the ledger's
	// most is the disk, which callers share above.
	b.Run("stages", func(b *testing.B) {
		f := newFleet(b)
		before := f.stages()
		f.measure(b, 1, f.renew)
		for stage, took := range f.stages() {
			b.ReportMetric(1e6*(took-before[stage])/float64(b.N), stage+"-µs/op")
		}
	})
}

const (
	callers = 64
	pods    = 256
)

// fleet is a mesh of pods that renew, each an account of its own.
type fleet struct {
	service *ca.Service
	edge    *server.Server
	auth    identity.Authenticator
	pods    []*pod
	// What raw signs with.
	parent *x509.Certificate
	key    *ecdsa.PrivateKey

	reg *prometheus.Registry
	// enrolling is what the stages took before the first renewal.
	enrolling map[string]float64

	mu                       sync.Mutex
	authenticating, creating time.Duration
}

type pod struct {
	mu    sync.Mutex
	csr   string
	chain []*x509.Certificate
}

func newFleet(b *testing.B) *fleet {
	b.Helper()
	dir, f := b.TempDir(), &fleet{reg: prometheus.NewRegistry()}
	metrics, log := server.NewMetrics(f.reg), slog.New(slog.NewJSONHandler(io.Discard, nil))
	keys := must(keystore.Open(filepath.Join(dir, "keys"), keystore.NewKEK()))
	held := must(ledger.Open(b.Context(), ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: "bench", Keys: keys, Registerer: prometheus.NewRegistry()}))
	b.Cleanup(func() { held.Close() })
	root := catest.NewUpstream(b, 365*24*time.Hour)
	register := must(revocation.Open(b.Context(), revocation.Config{TrustDomain: catest.TrustDomain, Ledger: held, TokenLife: satoken.MaxTTL}))
	f.service = must(ca.New(b.Context(), ca.Config{
		TrustDomain: catest.TrustDomain, Profile: must(ca.NewProfile(ca.ProfileConfig{})), Upstream: root, Ledger: held,
		Issuers: keys, LiveIssuers: held.LiveIssuers, Admit: register.Admit, Logger: log,
		Observe: metrics.ObserveStage,
	}))
	f.edge = must(server.New(server.Config{
		Issuer: f, Metrics: metrics, Logger: log, Issued: held.CountSince,
		Limits: server.Limits{PerSecond: 1e6, Burst: 1e6, PerDay: 1e9},
	}))
	f.auth = must(clientcert.NewAuthenticator(clientcert.Config{TrustDomain: catest.TrustDomain, Directory: everybody{}, Binding: binding(held)}))
	cutOff(b, register)
	for n := range pods {
		f.pods = append(f.pods, f.enrol(b, fmt.Sprintf("app-%d", n)))
	}
	parent := *f.pods[0].chain[1]
	f.key = catest.NewKey(b)
	f.parent, parent.PublicKey = &parent, f.key.Public()
	f.enrolling = f.stages()
	return f
}

// cutOff gives the register something to look through.
func cutOff(b *testing.B, register *revocation.Register) {
	b.Helper()
	for n := range 100 {
		target := revocation.Target{Kind: revocation.Pod, Value: fmt.Sprintf("shop/stolen-%d", n)}
		if _, _, err := register.Do(b.Context(), "bench", revocation.Revoke, target, "bench"); err != nil {
			b.Fatal(err)
		}
	}
}

// stages is how many seconds each stage took so far; rest is what the limits, the
// admission, the log line and the answer's PEM take.
func (f *fleet) stages() map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	seconds := map[string]float64{"authenticate": f.authenticating.Seconds(), "rest": f.creating.Seconds()}
	for _, family := range must(f.reg.Gather()) {
		for _, m := range family.GetMetric() {
			if family.GetName() == "ensign_csr_seconds" {
				seconds[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleSum() - f.enrolling[m.GetLabel()[0].GetValue()]
				seconds["rest"] -= seconds[m.GetLabel()[0].GetValue()]
			}
		}
	}
	return seconds
}

// enrol gives a pod its first SVID, by a token.
func (f *fleet) enrol(b *testing.B, account string) *pod {
	b.Helper()
	p := &pod{csr: string(catest.CSR(b, catest.NewKey(b)))}
	caller := catest.Caller(account)
	issued := must(f.service.Issue(b.Context(), ca.Request{Caller: caller, CSR: catest.Parse(b, []byte(p.csr))}))
	p.chain = append([]*x509.Certificate{issued.Leaf}, issued.Issuers...)
	return p
}

// everybody is a directory in which every account and pod exists.
type everybody struct{}

func (everybody) Account(string, string) (string, bool) { return "account-uid", true }

func (everybody) Pod(_, name string) (identity.Pod, bool) {
	return identity.Pod{UID: "pod-uid", Account: name[:len(name)-len("-1")], Node: "node-1"}, true
}

// binding looks a serial up as ensignd does.
func binding(held *ledger.Ledger) func(context.Context, string) (clientcert.Bound, error) {
	return func(ctx context.Context, serial string) (clientcert.Bound, error) {
		e, err := held.BySerial(ctx, serial)
		if errors.Is(err, ledger.ErrNotFound) {
			err = identity.ErrUnrecorded
		}
		return clientcert.Bound{Certificate: e.Certificate, AccountUID: e.AccountUID, Pod: e.Pod, PodUID: e.PodUID, TokenAt: e.TokenAt}, err
	}
}

// measure does b.N operations by so many callers and reports their rate. It
// answers the CPU of each in microseconds.
func (f *fleet) measure(b *testing.B, callers int, do func(context.Context, *pod) error) float64 {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	before := cpu()
	for range callers {
		group.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				p := f.pods[n%pods]
				p.mu.Lock()
				err := do(b.Context(), p)
				p.mu.Unlock()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	each := float64((cpu() - before).Microseconds()) / float64(b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "SVIDs/s")
	b.ReportMetric(each, "cpu-µs/op")
	return each
}

// cpu is what this process has used so far.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// raw checks the request and signs a certificate like the pod's.
func (f *fleet) raw(_ context.Context, p *pod) error {
	block, _ := pem.Decode([]byte(p.csr))
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if err := req.CheckSignature(); err != nil {
		return err
	}
	_, err = x509.CreateCertificate(rand.Reader, p.chain[0], f.parent, req.PublicKey, f.key)
	return err
}

// renew does what ensignd does with the request of a proven connection.
func (f *fleet) renew(ctx context.Context, p *pod) error {
	start := time.Now()
	caller, err := f.auth.Authenticate(ctx, identity.Credentials{Chain: p.chain})
	authenticated := time.Now()
	if err != nil {
		return err
	}
	_, err = f.edge.CreateCertificate(context.WithValue(identity.WithCaller(ctx, caller), podKey{}, p), &istioca.IstioCertificateRequest{Csr: p.csr})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.authenticating += authenticated.Sub(start)
	f.creating += time.Since(authenticated)
	return err
}

type podKey struct{}

// Issue hands the pod what it will renew by, so that no client's work is counted.
func (f *fleet) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	issued, err := f.service.Issue(ctx, r)
	if p, ok := ctx.Value(podKey{}).(*pod); ok && err == nil {
		p.chain[0] = issued.Leaf
	}
	return issued, err
}
