package sds_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

const testID = "spiffe://cluster.local/ns/shop/sa/reviews"

// signer is a control plane in this process.
type signer struct {
	t         testing.TB
	authority *sdstest.Authority
	// takes is how long an answer takes.
	takes   time.Duration
	running atomic.Int32

	// file is the bundle file, roots what is believed.
	file  atomic.Pointer[[]*x509.Certificate]
	roots *sds.Roots

	mu sync.Mutex // guards all below
	// kept is what is on the disk; full, if set, is what it says instead.
	kept *sds.Kept
	full error
	// answer, if set, replaces the usual answer.
	answer func(request []byte) ([]string, error)
	asked  []time.Time
	keys   []any
}

// set changes the answer; nil is the usual one.
func (s *signer) set(answer func(request []byte) ([]string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// attempts are the times of all requests so far.
func (s *signer) attempts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *signer) Sign(ctx context.Context, request []byte, ttl time.Duration) ([]string, error) {
	if s.running.Add(1) > 1 {
		s.t.Error("two renewals at the same time")
	}
	defer s.running.Add(-1)
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked, s.keys = append(s.asked, time.Now()), append(s.keys, csr.PublicKey)
	answer := s.answer
	s.mu.Unlock()
	if len(csr.URIs)+len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses) > 0 || csr.Subject.String() != "" {
		s.t.Errorf("the request names something: %+v", csr.Subject)
	}
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if answer != nil {
		return answer(request)
	}
	return s.authority.Issue(s.t, request, sdstest.Leaf(testID, ttl)), nil
}

func newSource(t testing.TB, s *signer, ttl time.Duration) *sds.Source {
	t.Helper()
	// Here, because certificates of a bubble are of the bubble's time.
	s.authority = sdstest.New(t)
	s.t = t
	s.file.Store(&[]*x509.Certificate{s.authority.Root})
	config := s.config(t)
	s.roots = sds.NewRoots(config)
	return sds.NewSource(sds.SourceConfig{
		Signer: s, TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), Namespace: "shop",
		Roots: s.roots, TTL: ttl, Logger: config.Logger,
	})
}

// config is of roots that begin with what is on the disk.
func (s *signer) config(t testing.TB) sds.RootsConfig {
	return sds.RootsConfig{Operator: s.operator, Keep: s.keep, Kept: s.kept, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// operator reads the bundle file.
func (s *signer) operator() ([]*x509.Certificate, error) { return *s.file.Load(), nil }

// keep is the disk.
func (s *signer) keep(kept sds.Kept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == nil {
		s.kept = &kept
	}
	return s.full
}

// bubble runs a Source in a bubble of fake time.
func bubble(t *testing.T, s *signer, ttl time.Duration, check func(t *testing.T, source *sds.Source)) {
	synctest.Test(t, func(t *testing.T) {
		source := newSource(t, s, ttl)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- source.Run(ctx) }()
		synctest.Wait()
		check(t, source)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func live(t *testing.T, source *sds.Source) *sds.SVID {
	t.Helper()
	svid, err := source.Live()
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

// TestRefusedSVIDIsRenewedSoon, and not in a storm when that does not help.
func TestRefusedSVIDIsRenewedSoon(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		first := live(t, source)
		time.Sleep(time.Hour)
		source.Refused(nil)
		synctest.Wait()
		if n := len(s.attempts()); n != 1 {
			t.Fatalf("%d attempts, nobody refused anything", n)
		}
		source.Refused(first)
		source.Refused(first)
		synctest.Wait()
		second := live(t, source)
		if second == first {
			t.Fatal("the refused SVID is still in use")
		}
		source.Refused(first) // a stream of the one before ends late
		time.Sleep(time.Hour)
		if live(t, source) != second {
			t.Error("an SVID that nobody refused was renewed")
		}
		before := len(s.attempts())
		for end := time.Now().Add(6 * time.Hour); time.Now().Before(end); time.Sleep(time.Second) {
			source.Refused(live(t, source))
		}
		if n := len(s.attempts()) - before; n < 20 || n > 100 {
			t.Errorf("%d renewals in 6 hours of refusals", n)
		}
	})
}

// TestARefusalDoesNotHurryFailures: the pauses between failed attempts stay.
func TestARefusalDoesNotHurryFailures(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		first := live(t, source)
		s.set(func([]byte) ([]string, error) { return nil, errors.New("the token has expired") })
		time.Sleep(time.Minute)
		for range 600 {
			source.Refused(first)
			time.Sleep(time.Second)
		}
		if n := len(s.attempts()); n < 20 || n > 60 {
			t.Errorf("%d attempts in ten minutes", n)
		}
	})
}

func TestRenewsAtHalfLifeWithAFreshKey(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		first := live(t, source)
		time.Sleep(12*time.Hour - 12*time.Hour/10 - time.Second)
		if live(t, source) != first {
			t.Error("renewed before nine tenths of half its life")
		}
		time.Sleep(2*12*time.Hour/10 + 2*time.Second)
		second := live(t, source)
		if second == first || second.Serial() == first.Serial() {
			t.Fatal("not renewed after eleven tenths of half its life")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if fmt.Sprint(s.keys[0]) == fmt.Sprint(s.keys[1]) {
			t.Error("the renewal kept its key")
		}
		if source.FingerprintOf(first.Serial()) != first.Fingerprint() || source.FingerprintOf("ab") != "" {
			t.Error("earlier leaves are not remembered")
		}
	})
}

// A fleet that started together must not renew together.
func TestRenewalIsSpread(t *testing.T) {
	spread := map[time.Duration]bool{}
	for range 5 {
		s := &signer{}
		bubble(t, s, time.Hour, func(t *testing.T, _ *sds.Source) {
			time.Sleep(34 * time.Minute)
			asked := s.attempts()
			spread[asked[1].Sub(asked[0])] = true
		})
	}
	if len(spread) < 4 {
		t.Errorf("5 renewals at %v", spread)
	}
}

func TestTheOldOneServesWhileTheControlPlaneIsAway(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		first := live(t, source)
		s.set(func([]byte) ([]string, error) { return nil, errors.New("away") })
		time.Sleep(59 * time.Minute)
		if live(t, source) != first {
			t.Error("the old SVID is gone before it expired")
		}
		time.Sleep(2 * time.Minute)
		if _, err := source.Live(); !errors.Is(err, sds.ErrNone) {
			t.Errorf("after expiry: %v, want ErrNone", err)
		}
		s.set(nil)
		time.Sleep(31 * time.Second)
		if live(t, source) == first {
			t.Error("not renewed after the control plane came back")
		}
	})
}

func TestRetriesGrowToTheCap(t *testing.T) {
	s := &signer{answer: func([]byte) ([]string, error) { return nil, errors.New("away") }}
	bubble(t, s, time.Hour, func(t *testing.T, _ *sds.Source) {
		time.Sleep(10 * time.Minute)
		asked := s.attempts()
		first := asked[1].Sub(asked[0])
		if first < 250*time.Millisecond || first > 500*time.Millisecond {
			t.Errorf("first pause %s, want 250 to 500 ms", first)
		}
		for i := 9; i < len(asked); i++ {
			if pause := asked[i].Sub(asked[i-1]); pause < 15*time.Second || pause > 30*time.Second {
				t.Errorf("pause %d is %s, want 15 to 30 s", i, pause)
			}
		}
		if len(asked) < 25 || len(asked) > 60 {
			t.Errorf("%d attempts in 10 minutes", len(asked))
		}
	})
}

// An answer that does not come is given up, and no second attempt begins before.
func TestOneAttemptAtATime(t *testing.T) {
	s := &signer{takes: time.Hour}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		time.Sleep(5 * time.Minute)
		if n := len(s.attempts()); n < 5 {
			t.Errorf("%d attempts in 5 minutes: one hangs", n)
		}
		if _, err := source.Live(); !errors.Is(err, sds.ErrNone) {
			t.Errorf("%v, want ErrNone", err)
		}
	})
}

func TestAShortLifeDoesNotSpin(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Second, func(t *testing.T, _ *sds.Source) {
		time.Sleep(time.Minute)
		if n := len(s.attempts()); n > 61 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

// The identity of a workload does not change while it lives.
func TestAnotherIDIsRefused(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		first := live(t, source)
		s.set(func(request []byte) ([]string, error) {
			return s.authority.Issue(t, request, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/other", time.Hour)), nil
		})
		time.Sleep(40 * time.Minute)
		if live(t, source) != first {
			t.Error("the workload became somebody else")
		}
	})
}

// A rotation passes through a bundle with both roots: then the new one alone is
// believed, because it came before. Without that step it is foreign.
func TestRootsMustOverlap(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		next := sdstest.New(t)
		first := live(t, source)
		byNext := func(request []byte) ([]string, error) {
			return next.Issue(t, request, sdstest.Leaf(testID, time.Hour)), nil
		}
		s.set(byNext)
		time.Sleep(40 * time.Minute)
		if live(t, source) != first {
			t.Fatal("a root out of the blue was believed")
		}
		rotating := *s.authority
		rotating.Also = []*x509.Certificate{next.Root}
		s.set(func(request []byte) ([]string, error) {
			return rotating.Issue(t, request, sdstest.Leaf(testID, time.Hour)), nil
		})
		time.Sleep(time.Minute)
		both := live(t, source)
		if both.Bundle() == first.Bundle() || len(both.Roots) != 2 {
			t.Fatalf("the bundle of both roots was not taken: %v", both)
		}
		s.set(byNext)
		time.Sleep(40 * time.Minute)
		if third := live(t, source); third == both || third.Bundle() != sds.BundleHash([]*x509.Certificate{next.Root}) {
			t.Error("the rotation does not end")
		}
	})
}

func TestWatchTellsOfEachRenewal(t *testing.T) {
	s := &signer{}
	bubble(t, s, time.Hour, func(t *testing.T, source *sds.Source) {
		svid, changed := source.Watch()
		select {
		case <-changed:
			t.Fatal("told of a change that was not")
		default:
		}
		<-changed
		if next, _ := source.Watch(); next == svid {
			t.Error("told of a change and kept the SVID")
		}
	})
}

func TestAnSVIDNeverPrintsItsKey(t *testing.T) {
	var svid *sds.SVID
	bubble(t, &signer{}, time.Hour, func(t *testing.T, source *sds.Source) { svid = live(t, source) })
	certificate := svid.TLSCertificate()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := fmt.Sprintf("%x", key[len(key)-32:])
	encoded, err := json.Marshal(map[string]any{"svid": svid})
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "svid", svid, "group", slog.GroupValue(slog.Any("svid", svid)))
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", svid, svid, svid, svid), fmt.Sprintf("%+v", struct{ S *sds.SVID }{svid}), string(encoded), logged.String()} {
		if !strings.Contains(text, svid.Serial()) && !strings.Contains(text, "0x") {
			t.Errorf("does not name the SVID: %s", text)
		}
		if strings.Contains(strings.ToLower(text), secret) || strings.Contains(text, "PrivateKey{") {
			t.Errorf("shows the key: %s", text)
		}
	}
}
