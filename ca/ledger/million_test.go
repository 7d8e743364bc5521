package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	"github.com/ensign-mesh/ensign/ca/ledger/export"
)

// serial of the n-th certificate.
func serial(n int) string {
	hash := sha256.Sum256([]byte(strconv.Itoa(n)))
	return hex.EncodeToString(hash[:16])
}

// real is an entry as large as ensignd writes it, of one of a thousand accounts;
// three in four are renewals.
func real(n int) ca.Entry {
	e := svid(n)
	e.Time = start.Add(time.Duration(n) * time.Second)
	e.NotBefore, e.NotAfter, e.TokenAt = e.Time, e.Time.Add(24*time.Hour), e.Time
	e.Serial = serial(n)
	e.Certificate, e.Key = strings.Repeat(e.Serial, 2), strings.Repeat(e.Serial, 2)
	e.SPIFFEID = fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/account-%03d", n%1000)
	e.IssuerSubject, e.IssuerSerial = "CN=Ensign issuer 0123456789abcdef,O=cluster.local", strings.Repeat("5a", 16)
	e.Pod, e.PodUID, e.Node = fmt.Sprintf("account-%03d-7d9c9b8f6-x2x4z", n%1000), "2f1b7a3e-6c7b-4b34-9d35-0d6f0f6d7a11", "node-17"
	e.Requester, e.AccountUID, e.KeyAlgorithm = "10.20.30.40:51234", "8e0f1a52-0a3c-4f7e-9a9e-53f3a8c1d2e0", "ECDSA P-256"
	e.Proof, e.TokenID = "token", "3d5a6c1e-9f44-4e0c-8d0a-7b1c2d3e4f50"
	if n >= 1000 && n%4 > 0 {
		e.Proof, e.TokenID = "svid", ""
		e.ProofSerial = serial(n - 1000)
	}
	return e
}

// writeBackup writes a backup of n entries, signed by the key of keys{}.
func writeBackup(b *testing.B, w io.Writer, n int) {
	b.Helper()
	// A ledger of one entry lends its key's name.
	l := open(b, filepath.Join(b.TempDir(), "key.db"))
	_, key, _ := l.Checkpoint()
	out, err := export.NewWriter(w, export.Header{Origin: origin, VerifierKey: key})
	if err != nil {
		b.Fatal(err)
	}
	tree := ledger.NewTree()
	for i := range n {
		data, err := json.Marshal(real(i))
		if err != nil {
			b.Fatal(err)
		}
		if err := out.Add(uint64(i), data); err != nil {
			b.Fatal(err)
		}
		tree.Grow(b, data)
		if i%256 == 255 && i < n-1 {
			if err := out.SoFar(tree.Sign(b, l, origin)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := out.Finish(tree.Sign(b, l, origin)); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMillion measures a ledger of a million entries: what it takes on the
// disk, to verify, to back up and restore, to open, and to prove things from. It
// runs once:
//
//	go test ./ca/ledger -run '^$' -bench Million -benchtime 1x -timeout 30m
//
// ENSIGN_BENCH_ENTRIES asks for another number of entries.
func BenchmarkMillion(b *testing.B) {
	n := 1_000_000
	fmt.Sscan(os.Getenv("ENSIGN_BENCH_ENTRIES"), &n)
	million := float64(n) / 1e6
	file, path := filepath.Join(b.TempDir(), "backup"), filepath.Join(b.TempDir(), "l.db")
	out, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	writeBackup(b, out, n)
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	stage := func(name string, do func() error) {
		start, used := time.Now(), processor(b)
		if err := do(); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		b.ReportMetric(time.Since(start).Seconds()/million, name+"-s/million")
		b.ReportMetric((processor(b)-used).Seconds()/million, name+"-cpu-s/million")
	}
	b.ResetTimer()
	stage("verify-file", func() error { return verifyOnce(b, file, million) })
	stage("restore", func() error {
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = ledger.Restore(b.Context(), ledger.RestoreConfig{Path: path, Origin: origin, Keys: keys{}, From: in})
		return err
	})
	sizes(b, million, map[string]string{"store": path, "export": file})
	var l *ledger.Ledger
	stage("open", func() error { l = open(b, path); return nil })
	stage("export", func() error { _, err := l.Export(b.Context(), io.Discard, 0); return err })
	proofs(b, l, n)
}

// processor is the CPU time of this process, which says more than the clock on a
// machine that others use too.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func verifyOnce(b *testing.B, file string, million float64) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	var peak uint64
	_, err = audit.VerifyFile(b.Context(), in, audit.Options{Progress: func(p audit.Progress) {
		if p.Entries%50_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}})
	b.ReportMetric(float64(peak)/1e6/million, "verify-heap-MB/million")
	return err
}

func sizes(b *testing.B, million float64, paths map[string]string) {
	for name, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6/million, name+"-MB/million")
	}
}

// proofs measures single answers from a large ledger.
func proofs(b *testing.B, l *ledger.Ledger, n int) {
	const asks = 300
	each := func(name string, do func(i int) error) {
		start, used := time.Now(), processor(b)
		for i := range asks {
			if err := do((i*7919 + 13) % n); err != nil {
				b.Fatalf("%s: %v", name, err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/asks, name+"-us")
		b.ReportMetric(float64((processor(b)-used).Microseconds())/asks, name+"-cpu-us")
	}
	var proven []byte
	each("inclusion", func(i int) (err error) { proven, err = l.Inclusion(b.Context(), real(i).Serial); return err })
	each("consistency", func(i int) error { _, err := l.Proof(b.Context(), uint64(i+1), uint64(n)); return err })
	_, key, _ := l.Checkpoint()
	each("check-proof", func(int) error { _, err := audit.CheckProof(key, proven); return err })
	each("renewals", func(i int) error { _, err := l.Renewals(b.Context(), real(max(0, n-4000-i%1000)).Serial); return err })
	each("count-day", func(i int) error {
		_, err := l.CountSince(b.Context(), real(i).SPIFFEID, real(max(0, n-86400)).Time)
		return err
	})
	each("append", func(i int) error { _, err := l.Append(b.Context(), svid(i)); return err })
}
