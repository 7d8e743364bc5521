package ledger_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend shows how concurrent callers share the price of a sync.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := open(b, filepath.Join(b.TempDir(), "l.db"))
			var next atomic.Int64
			done := make(chan error, callers)
			b.ResetTimer()
			for range callers {
				go func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							done <- nil
							return
						}
						if _, err := l.Append(b.Context(), svid(int(n))); err != nil {
							done <- err
							return
						}
					}
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkRead shows the price of reading an entry and checking its hash.
func BenchmarkRead(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "l.db"))
	const size = 5000
	done := make(chan error, size)
	for n := range size {
		go func() { _, err := l.Append(b.Context(), svid(n)); done <- err }()
	}
	for range size {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for read := 0; read < b.N; {
		for _, err := range l.Read(b.Context(), 0, uint64(min(size, b.N-read))) {
			if err != nil {
				b.Fatal(err)
			}
			read++
		}
	}
}
