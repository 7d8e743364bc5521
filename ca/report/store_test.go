package report

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite/powercut"
)

func open(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openFile(t testing.TB) *Store {
	return open(t, Config{Path: filepath.Join(t.TempDir(), "reports.db")})
}

// sample is a whole report of the n-th pod.
func sample(n int) Report {
	at := time.Date(2026, 3, 1, 12, 0, n, 5, time.UTC)
	return Report{
		SPIFFEID: "spiffe://cluster.local/ns/shop/sa/reviews", Namespace: "shop", Pod: fmt.Sprintf("reviews-%03d", n),
		NodeID: "sidecar~10.0.0.1~reviews.shop~shop.svc.cluster.local", Sequence: 1<<63 + uint64(n),
		AckedSerial: "0abc", AckedFingerprint: strings.Repeat("ab", 32), AckedBundle: strings.Repeat("cd", 32), AckedAt: at,
		TrustSequence:      1<<63 + 7,
		ServedFingerprints: []string{strings.Repeat("ab", 32)}, EnvoyVersion: "1.40.0", AgentClock: at.Add(time.Second),
		SecretError: "ROOTCA: no \"certificate\" — bad", ReceivedAt: at.Add(2 * time.Second),
	}
}

func put(t testing.TB, s *Store, reports ...Report) {
	t.Helper()
	for _, r := range reports {
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheNewestReportOfEachPodStays(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "reports.db")}
	s := open(t, c)
	first, newer, other := sample(1), sample(1), sample(2)
	newer.Sequence, newer.AckedSerial, newer.SecretError = 1, "0abd", "" // the agent was restarted
	twin := sample(1)
	twin.Namespace = "other"
	put(t, s, first, other, twin, newer)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	got, err := s.All(t.Context())
	if want := []Report{twin, newer, other}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := s.Get(t.Context(), "shop", "reviews-001"); err != nil || !reflect.DeepEqual(got, newer) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.Get(t.Context(), "shop", "reviews-009"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a pod that never reported: %v", err)
	}
	info, err := os.Stat(c.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestConcurrentReports(t *testing.T) {
	s := openFile(t)
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			if err := s.Put(t.Context(), sample(n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := s.All(t.Context()); err != nil || len(got) != 100 {
		t.Errorf("%d reports, %v", len(got), err)
	}
}

func TestHostileReportsAreRefused(t *testing.T) {
	s := openFile(t)
	put(t, s, sample(1))
	long := strings.Repeat("a", 1<<20)
	for name, spoil := range map[string]func(*Report){
		"no pod":                func(r *Report) { r.Pod = "" },
		"no namespace":          func(r *Report) { r.Namespace = "" },
		"no identity":           func(r *Report) { r.SPIFFEID = "" },
		"long pod":              func(r *Report) { r.Pod = long },
		"long node":             func(r *Report) { r.NodeID = long },
		"long version":          func(r *Report) { r.EnvoyVersion = long },
		"NUL":                   func(r *Report) { r.EnvoyVersion = "1\x00" },
		"no UTF-8":              func(r *Report) { r.NodeID = "\xff" },
		"long serial":           func(r *Report) { r.AckedSerial = strings.Repeat("a", 65) },
		"upper-case serial":     func(r *Report) { r.AckedSerial = "AB" },
		"fingerprint no hex":    func(r *Report) { r.AckedFingerprint = "<script>" },
		"bundle no hex":         func(r *Report) { r.AckedBundle = "ab cd" },
		"served no hex":         func(r *Report) { r.ServedFingerprints = []string{"ab", "x"} },
		"served many":           func(r *Report) { r.ServedFingerprints = make([]string, 1025) },
		"clock of the far past": func(r *Report) { r.AgentClock = time.Unix(-1<<40, 0) },
		"ACK in the far future": func(r *Report) { r.AckedAt = time.Unix(1<<40, 0) },
	} {
		r := sample(1)
		spoil(&r)
		if err := s.Put(t.Context(), r); !errors.Is(err, ErrInvalid) || len(err.Error()) > 300 {
			t.Errorf("%s: %.400v", name, err)
		}
	}
	got, err := s.All(t.Context())
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], sample(1)) || s.Healthy() != nil {
		t.Errorf("%+v, %v, healthy %v", got, err, s.Healthy())
	}
}

// TestALongReasonIsCut: what Envoy says must not stop the evidence.
func TestALongReasonIsCut(t *testing.T) {
	s, r := openFile(t), sample(1)
	r.SecretError = strings.Repeat("é", 5000)
	put(t, s, r)
	got, err := s.Get(t.Context(), r.Namespace, r.Pod)
	if err != nil || len(got.SecretError) != 1024 {
		t.Errorf("%d bytes, %v", len(got.SecretError), err)
	}
	r.SecretError = "x" + r.SecretError
	put(t, s, r)
	if got, err = s.Get(t.Context(), r.Namespace, r.Pod); err != nil || len(got.SecretError) != 1023 {
		t.Errorf("%d bytes, %v", len(got.SecretError), err)
	}
}

// TestAPowerCutLosesNoStoredReport cuts the power at many moments. The last
// round has syncing turned off, and must lose one: the test can fail.
func TestAPowerCutLosesNoStoredReport(t *testing.T) {
	for _, synchronous := range []string{"FULL", "OFF"} {
		lost := 0
		for ops := 30; ops < 300; ops += 9 {
			disk := powercut.New(t)
			s := open(t, Config{Path: "/reports.db", vfs: disk.VFS()})
			if _, err := s.db.Writer.Exec("PRAGMA wal_autocheckpoint=4; PRAGMA synchronous=" + synchronous); err != nil {
				t.Fatal(err)
			}
			disk.CutAfter(ops)
			stored := map[string]uint64{}
			for n := range 1000 {
				r := sample(n % 5)
				r.Sequence = uint64(n)
				if err := s.Put(t.Context(), r); err != nil {
					break
				}
				stored[r.Pod] = r.Sequence
			}
			s.Close()
			disk.Restart(rand.New(rand.NewPCG(uint64(ops), 3)))
			again, err := Open(t.Context(), Config{Path: "/reports.db", vfs: disk.VFS()})
			if err != nil {
				lost++
				continue
			}
			for pod, sequence := range stored {
				if got, err := again.Get(t.Context(), "shop", pod); err != nil || got.Sequence < sequence {
					lost++
				}
			}
			again.Close()
		}
		if (lost > 0) != (synchronous == "OFF") {
			t.Errorf("synchronous=%s: %d stored reports were lost", synchronous, lost)
		}
	}
}

func TestAFullDiskIsSaidAndHeals(t *testing.T) {
	disk := powercut.New(t)
	s := open(t, Config{Path: "/reports.db", vfs: disk.VFS()})
	disk.FailWrites(true)
	if err := s.Put(t.Context(), sample(1)); err == nil || s.Healthy() == nil {
		t.Fatalf("stored on a full disk: %v, healthy %v", err, s.Healthy())
	} else if !strings.Contains(err.Error(), "goes on by itself") {
		t.Errorf("nobody hears what to do: %v", err)
	}
	disk.FailWrites(false)
	for deadline := time.Now().Add(10 * time.Second); s.Healthy() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.Healthy())
		}
	}
	put(t, s, sample(1))
}

// FuzzReport stores what an agent could write: refused, or kept as it is.
func FuzzReport(f *testing.F) {
	s := openFile(f)
	f.Add("shop", "reviews", "spiffe://a/b", "ab", "1.40.0", "why", int64(0))
	f.Add("\x00", "\xff", "'; DROP TABLE reports", "AB", "", strings.Repeat("é", 600), int64(1)<<60)
	f.Fuzz(func(t *testing.T, namespace, pod, id, serial, version, reason string, clock int64) {
		r := Report{Namespace: namespace, Pod: pod, SPIFFEID: id, AckedSerial: serial, EnvoyVersion: version, SecretError: reason, AgentClock: time.Unix(clock, 0).UTC()}
		err := s.Put(t.Context(), r)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		got, err := s.Get(t.Context(), namespace, pod)
		if err != nil || got.SPIFFEID != id || got.AckedSerial != serial || !got.AgentClock.Equal(r.AgentClock) || !strings.HasPrefix(reason, got.SecretError) || !utf8.ValidString(got.SecretError) {
			t.Fatalf("put %+v, got %+v, %v", r, got, err)
		}
	})
}
